import { Stopper } from "../rule.js";

export default class Fixed extends Stopper {
  constructor(settings) {
    super(settings);
    this.max_draft = this.k;
  }
}
