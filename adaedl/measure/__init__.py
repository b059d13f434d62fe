"""What is measured: speed, losslessness, sweeps, the study, and the peers to compare with."""
