// Saves a text as a file.

const RELEASE_DELAY = 60_000; // milliseconds; the browser reads the file after the click

/** Offers a file with this name, media type and content for download. */
export function download(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), RELEASE_DELAY);
}
