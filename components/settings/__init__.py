"""What the host of the page decides. All other packages of the page may import this one."""
