/** Copying and sharing text. Both need a tap just before: browsers allow neither to a page by itself. */

/** Whether this device has a menu to send a text to another app, as phones have. */
export const canSend = () => typeof navigator.share === "function" && matchMedia("(pointer: coarse)").matches;

/**
 * Copy a text to the clipboard. The text may still be on its way: Safari allows that only in this form.
 * @param {string | Promise<string>} text
 * @returns {Promise<boolean>} whether it was copied
 * @throws whatever the promise rejects with
 */
export async function copyText(text) {
  if (navigator.clipboard && typeof text !== "string" && typeof ClipboardItem === "function") {
    const blob = text.then((arrived) => new Blob([arrived], { type: "text/plain" }));
    try {
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
      return true;
    } catch {
      // This browser takes only a text that is there, or the text has not come, which the next line throws.
    }
  }
  const arrived = await text;
  try {
    await navigator.clipboard.writeText(arrived);
    return true;
  } catch {
    return copyBySelection(arrived); // without HTTPS a page has no clipboard, and a user may forbid it
  }
}

/** Copy a text as a user would: select it, and copy the selection. @param {string} text */
function copyBySelection(text) {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  field.className = "sr-only";
  (focused?.closest("[popover], dialog") ?? document.body).append(field); // behind an open panel nothing can be selected
  field.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}

/** Offer a text to the other apps of the device. @param {ShareData} data @returns {Promise<boolean>} whether it was sent */
export async function sendToApp(data) {
  try {
    await navigator.share(data);
    return true;
  } catch {
    return false; // the user closed the menu, or no app takes it
  }
}
