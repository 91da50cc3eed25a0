// The page works without this file. With it nobody has to press "Refresh": each second it asks the API for the state and
// puts the words where the HTML says they belong, always as text:
//   data-text="path"      the element's text            data-value="path"   an input's value
//   data-href="path"      a link's address
//   data-set-x="path"     the attribute data-x          data-initial="path" an input's value when its row is made
//   data-if/unless="path" whether it is shown           data-list="path"    its rows: one <template>, keyed by data-id;
//                                                       children without a data-key are no rows and stay
"use strict";
(() => {
  const PACE = 1000, PATIENCE = 5000;
  const $ = (id) => document.getElementById(id);
  const at = (data, path) => path.split(".").reduce((v, name) => v === undefined || v === null ? v : v[name], data);
  const words = (v) => v === undefined || v === null ? "" : String(v);

  function fill(el, data) {
    const d = el.dataset;
    if (d.list !== undefined) return rows(el, at(data, d.list) || []);
    // Only a changed text is announced by a screen reader, and an unchanged one keeps what was selected in it.
    if (d.text !== undefined && el.textContent !== words(at(data, d.text))) el.textContent = words(at(data, d.text));
    if (d.value !== undefined) el.value = words(at(data, d.value));
    if (d.href !== undefined) el.setAttribute("href", words(at(data, d.href)));
    if (d.if !== undefined) el.hidden = !at(data, d.if);
    if (d.unless !== undefined) el.hidden = !!at(data, d.unless);
    for (const name of Object.keys(d)) {
      if (/^set[A-Z]/.test(name)) d[name[3].toLowerCase() + name.slice(4)] = words(at(data, d[name]));
    }
    for (const child of el.children) if (child.tagName !== "TEMPLATE") fill(child, data);
  }

  // A row stays the same element while its key lives, so that neither the focus nor what is typed is lost.
  function rows(list, items) {
    const template = list.querySelector(":scope > template"), model = template.content.firstElementChild;
    const key = (item) => words(at(item, model.dataset.id));
    const wanted = new Set(items.map(key)), have = new Map();
    // Those that are gone go first, so that none that stays has to move.
    for (const row of [...list.children]) {
      if (!("key" in row.dataset)) continue;
      if (wanted.has(row.dataset.key)) have.set(row.dataset.key, row);
      else row.remove();
    }
    let place = [...list.children].find((child) => child === template || "key" in child.dataset);
    for (const item of items) {
      let row = have.get(key(item));
      if (!row) {
        row = document.importNode(model, true);
        row.dataset.key = key(item);
        for (const input of row.querySelectorAll("[data-initial]")) input.value = words(at(item, input.dataset.initial));
        reveal(row);
      }
      if (row === place) place = place.nextElementSibling;
      else list.insertBefore(row, place);
      fill(row, item);
    }
  }

  function reveal(root) {
    if (navigator.clipboard) for (const b of root.querySelectorAll("[data-copy]")) b.hidden = false;
  }
  function error(text) { $("error").textContent = text; $("error").hidden = !text; }
  // Saying the same twice is no change, so the second time would not be announced.
  function done(text) { $("done").textContent = ""; setTimeout(() => { $("done").textContent = text; }, 50); }

  let timer = 0, asking = false;
  async function look() {
    clearTimeout(timer);
    if (asking) return;
    asking = true;
    try {
      const r = await fetch("/api/state", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (!r.ok) throw new Error("status " + r.status);
      const state = await r.json();
      fill(document.body, state);
      $("offline").hidden = true;
    } catch {
      $("offline").hidden = false;
    } finally {
      asking = false;
      timer = setTimeout(look, document.hidden ? 10 * PACE : PACE);
    }
  }

  addEventListener("submit", async (e) => {
    e.preventDefault();
    const form = e.target, by = e.submitter;
    const action = by && by.hasAttribute("formaction") ? by.getAttribute("formaction") : form.getAttribute("action");
    try {
      const r = await fetch(action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual",
        headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE) });
      if (r.type === "opaqueredirect") { // what a browser without this script follows back to the page
        error("");
        done((by ? by.textContent.trim() : "That") + ": done");
        if (form.dataset.clear !== undefined) form.reset();
      } else error((await r.json()).error);
    } catch {
      error("The console did not answer. Is the demo still running?");
    }
    look();
  });
  addEventListener("click", async (e) => {
    const by = e.target.closest("[data-copy]");
    if (!by) {
      if (e.target.id === "refresh") { e.preventDefault(); error(""); look(); }
      return;
    }
    try {
      await navigator.clipboard.writeText(by.closest(".copyable").querySelector("code").textContent);
      done("Copied");
      by.firstChild.data = "Copied";
    } catch {
      by.firstChild.data = "Select it by hand";
    }
    setTimeout(() => { by.firstChild.data = "Copy"; }, 1500);
  });
  addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  reveal(document);
  look();
})();
