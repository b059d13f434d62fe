// What a real race of the present setting measured, on its way from the server to Explore. It draws nothing.

export function mount({ props, watch }) {
  watch("value", () => {
    if (props.value) document.dispatchEvent(new CustomEvent("adaedl:measured", { detail: JSON.parse(props.value) }));
  });
}
