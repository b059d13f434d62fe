// @ts-check
// What a real race of the present setting measured, on its way from the server to Explore. It draws nothing.

let last = null; // that came

export function mount({ props, watch }) {
  const tell = () => {
    if (!props.value) return;
    last = JSON.parse(props.value);
    document.dispatchEvent(new CustomEvent("adaedl:measured", { detail: last }));
  };
  watch("value", tell);
  tell();
}

/** What came before Explore was drawn, or null. */
export const measured = () => last;
