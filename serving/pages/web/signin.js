/* The sign-in form of both pages: keeps the key in this tab's session storage, from where it travels as a header. */

import { call } from "./api.js";
import { $ } from "./dom.js";

const { key } = first;

/** Ask for a key, with the reason why; resolves once the service accepts one. */
export function signIn(why) {
  const dialog = $("signin"), input = $("key"), error = $("key-error");
  $("signin-why").textContent = why;
  error.textContent = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    $("signin-form").onsubmit = async (event) => {
      event.preventDefault();
      key.set(input.value.trim());
      try {
        const session = await call("/api/session");
        input.value = "";
        dialog.close();
        resolve(session);
      } catch (problem) {
        if (problem.status !== 401) {
          dialog.close();
          resolve(null);
          return;
        }
        key.set("");
        error.textContent = problem.message;
        input.focus();
      }
    };
  });
}

let pending = null;

/**
 * The session, asking for a key as long as the service wants another one. Throws a `Problem` for anything else.
 * Requests that are refused together share one question, whose reason the later ones must not replace.
 */
export function session() {
  pending ??= ask().finally(() => { pending = null; });
  return pending;
}

async function ask() {
  for (;;) {
    try {
      const found = await call("/api/session");
      show(found);
      return found;
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      const given = key.get() ? `The service refused the key: ${problem.message}` : "This service asks for an API key.";
      key.set("");
      await signIn(given);
    }
  }
}

function show(found) {
  const button = $("account");
  button.hidden = !found.guarded;
  button.querySelector(".label").textContent = `${found.name} (${found.role})`;
  button.onclick = () => {
    key.set("");
    location.reload();
  };
}
