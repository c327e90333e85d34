// The switches of the memory: in the main form, in compared texts, and for scores.

let isAvailable = true; // until the model card says otherwise

/** Adapts the switches and their hints to a model and a server, as GET /info describes them. */
export function adaptMemory({ memory }) {
  isAvailable = memory.available;
  document.querySelectorAll('input[name="memory"]').forEach(adaptSwitch);
  for (const hint of document.querySelectorAll("[data-memory]"))
    hint.hidden = hint.dataset.memory !== String(isAvailable);
}

/** Disables an input that switches the memory on, where there is none. The value "" means off. */
export function adaptSwitch(input) {
  input.disabled = !isAvailable && input.value !== "";
  if (!isAvailable) input.checked = input.value === "";
}
