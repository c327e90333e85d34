// Runs: consecutive characters of a text that a lens shows in the same way, as DOM nodes.

/**
 * Makes the runs of the records from index `start` to `end`: [{ start, node, text, element }].
 * `text` is the text node with the characters, and `element` the span around it, or null if the
 * run has no class. `endsBlock`: whether the last record is a line end that ends a block.
 */
export function makeRuns(records, start, end, endsBlock, lens) {
  const runs = [];
  let run = null;
  for (let index = start; index < end; index += 1) {
    const className = lens.classOf(records[index], index);
    const isBlockEnd = endsBlock && index === end - 1;
    const isAlone = isBlockEnd || (lens.isPerCharacter && className !== "");
    if (run === null || isAlone || run.isAlone || run.className !== className) {
      run = { start: index, className: isBlockEnd ? `${className} block-end` : className, isAlone };
      run.tokens = [];
      runs.push(run);
    }
    run.tokens.push(records[index].token);
  }
  return runs.map(toNodes);
}

function toNodes({ start, className, tokens }) {
  const text = document.createTextNode(tokens.join(""));
  if (!className) return { start, text, element: null, node: text };
  const element = document.createElement("span");
  element.className = className.trim();
  element.append(text);
  return { start, text, element, node: element };
}
