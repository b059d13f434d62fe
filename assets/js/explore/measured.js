// @ts-check
// Passes the measurements of a real race from the server to Explore. It draws nothing.

let latest = null;

export function mount({ props, watch }) {
  const pass = () => {
    if (!props.value) return;
    latest = JSON.parse(props.value);
    document.dispatchEvent(new CustomEvent("adaedl:measured", { detail: latest }));
  };
  watch("value", pass);
  pass();
}

/** Return the latest measurements, or null: they may arrive before Explore is drawn. */
export const measured = () => latest;
