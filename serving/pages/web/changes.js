/* The dialog that changes the registry: asks for a reason or a share, waits, shows why the gate refused. */

import { call } from "./api.js";
import { $, el, notice } from "./dom.js";

/** Open the dialog for a change; resolves to what was done, in words, or to null where it was cancelled. */
export function ask({ title, text, go, path, body, share, danger = false }) {
  const dialog = $("change"), result = $("change-result");
  $("change-title").textContent = title;
  $("change-text").textContent = text;
  $("change-go").textContent = go;
  $("change-go").className = danger ? "danger" : "";
  const shares = share !== undefined; // asks for a share instead of a reason
  $("reason").value = "";
  $("reason").required = !shares;
  $("reason-row").hidden = shares;
  $("share-row").hidden = !shares;
  $("share").disabled = !shares;
  $("share").value = Math.round((share ?? 0) * 100);
  $("force").checked = false;
  $("force-row").hidden = true;
  result.replaceChildren();
  dialog.showModal();
  return new Promise((resolve) => {
    const finish = (outcome) => {
      dialog.onclose = null;
      dialog.close();
      resolve(outcome);
    };
    dialog.onclose = () => resolve(null);
    $("change-cancel").onclick = () => finish(null);
    $("change-form").onsubmit = async (event) => {
      event.preventDefault();
      const force = $("force").checked ? { force: true } : {};
      busy(true, go);
      notice(result, "info", "Changing the registry. This takes some seconds …");
      try {
        const asked = shares ? { share: Number($("share").value) / 100 } : { reason: $("reason").value.trim() };
        const done = await call(path, { method: "POST", body: { ...body, ...asked, ...force }, patience: 600000 });
        finish(done);
      } catch (problem) {
        refused(result, problem);
      } finally {
        busy(false, go);
      }
    };
  });
}

function busy(on, go) {
  $("change-go").disabled = $("change-cancel").disabled = on;
  $("change-go").textContent = on ? "Working …" : go;
}

function refused(place, problem) {
  const reasons = problem.errors ?? [];
  if (problem.kind !== "gate-refused") return notice(place, "error", problem.message);
  $("force-row").hidden = false;
  delete place.dataset.text;
  return place.replaceChildren(
    el("div.notice.error", {}, el("div", {}, el("p", {}, el("strong", {}, "The promotion gate refused it:")),
      el("ul", {}, reasons.map((one) => el("li", {}, one.rule))))),
  );
}
