import { Stopper } from "../rule.js";

export default class Autoregressive extends Stopper {}
