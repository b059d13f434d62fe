// What the page has beside a browser's own: plotly and the events by which its parts tell one another of a trace.

interface Window {
  Plotly?: any;
}

interface DocumentEventMap {
  "adaedl:open": CustomEvent;
  "adaedl:opened": CustomEvent;
  "adaedl:measured": CustomEvent;
}

/** A place that plotly has drawn into. */
interface HTMLDivElement {
  on?: (event: string, act: (event: any) => void) => void;
  data?: object[];
  layout?: any;
}
