// The lenses that a text can be seen through: "surprisal", "cells", or "off" for none.

import { makeCellLens } from "./cell_lens.js";
import { surprisalLens } from "./surprisal_lens.js";

export const LENSES = ["surprisal", "cells", "off"];

/** The lens with a name, for a text that no cell has been read for; null for "off". */
export function newLens(name) {
  if (name === "cells") return makeCellLens();
  return name === "surprisal" ? surprisalLens : null;
}
