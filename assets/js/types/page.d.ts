// What the page adds to the browser's own types: plotly, and the events by which its parts pass traces to one another.

interface Window {
  Plotly?: any;
}

interface DocumentEventMap {
  "adaedl:open": CustomEvent;
  "adaedl:opened": CustomEvent;
  "adaedl:run": CustomEvent;
  "adaedl:measured": CustomEvent;
}

/** An element that plotly has drawn into. */
interface HTMLDivElement {
  on?: (event: string, act: (event: any) => void) => void;
  data?: object[];
  layout?: any;
}
