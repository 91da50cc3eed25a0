// The page works without this file. With it nobody has to press "Check again": it asks the API at the pace that the
// server sets and, when something changed, takes the new words from the page that the server renders.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const main = $("main");
  if (!main || !main.dataset.api) return;
  const MIN = 2000, MAX = 120000, HIDDEN = 60000, UNTOUCHED = 2 * 3600 * 1000;
  const lang = document.documentElement.lang;
  const words = new Intl.RelativeTimeFormat(lang);
  let tag = main.dataset.tag, timer = 0, pace = Number(main.dataset.poll), failures = 0, asking = false, stopped = false;
  let touched = Date.now(), checked = new Date(main.dataset.now);
  // Phones' clocks are off by minutes; all times on the page are the server's.
  let skew = Date.now() - Date.parse(main.dataset.now);

  function relative(at) {
    const d = (Date.parse(at) - (Date.now() - skew)) / 1000, s = Math.abs(d), sign = d > 0 ? 1 : -1;
    if (s < 60) return words.format(sign * Math.max(5, Math.floor(s / 5) * 5), "second");
    if (s < 5400) return words.format(sign * (d > 0 ? Math.ceil(s / 60) : Math.floor(s / 60)), "minute");
    return words.format(sign * Math.round(s / 3600), "hour");
  }
  function tick() {
    for (const e of document.querySelectorAll("[data-relative]")) {
      const text = relative(e.dataset.relative);
      if (e.textContent !== text) e.textContent = text;
    }
  }
  // Only a changed text is announced by a screen reader, so equal ones are left alone.
  function say(id, text) { const e = $(id); if (e && e.textContent !== text) e.textContent = text; }

  // take moves the new view into the page, without losing what was typed or chosen, or where the focus is.
  function take(html) {
    const doc = new DOMParser().parseFromString(html, "text/html");
    const fresh = doc.getElementById("view"), old = $("view");
    if (!fresh || !old) return false;
    const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
    const lost = old.contains(document.activeElement);
    for (const o of old.querySelectorAll("input[id]")) {
      const n = fresh.querySelector("#" + CSS.escape(o.id));
      if (!n || n.type !== o.type) continue;
      if (o.type === "radio") { if (o.value === n.value) n.checked = o.checked; } else n.value = o.value;
    }
    for (const o of old.querySelectorAll("details[open]")) {
      const form = o.closest("form"), n = form && fresh.querySelector("#" + CSS.escape(form.id) + " details");
      if (n) n.open = true;
    }
    old.replaceWith(document.importNode(fresh, true));
    const heading = doc.getElementById("heading");
    $("heading").className = heading.className;
    say("heading", heading.textContent);
    say("status", doc.getElementById("status").textContent);
    document.title = doc.title;
    if (lost) (focus && $(focus) || main).focus({ preventScroll: true });
    return true;
  }

  function show(id, on) { $(id).hidden = !on; }

  // A load balancer answers an expired session by a redirect to the sign-in, which a script may not follow: that, a 401,
  // and a 403 that is not ours mean "signed out". The page says so; it does not navigate by itself.
  function signedOut(r) {
    return r.type === "opaqueredirect" || r.status === 401 ||
      (r.status === 403 && !(r.headers.get("content-type") || "").includes("json"));
  }
  function expire() { stopped = true; show("offline", false); show("expired", true); }

  async function get(url, headers) {
    const abort = new AbortController(), limit = setTimeout(() => abort.abort(), 20000);
    try {
      return await fetch(url, { headers, redirect: "manual", credentials: "same-origin", cache: "no-store", signal: abort.signal });
    } finally { clearTimeout(limit); }
  }

  async function look() {
    if (asking || stopped) return;
    asking = true;
    clearTimeout(timer);
    let wait = 0;
    try {
      const r = await get(main.dataset.api, { "If-None-Match": tag });
      if (signedOut(r)) return expire();
      // Who may not see it any more is told why by the page.
      if (r.status === 403) { stopped = true; return location.assign(main.dataset.page); }
      if (r.status === 200) {
        const s = await r.json();
        pace = s.pollAfterMs;
        skew = Date.now() - Date.parse(s.now);
        const p = await get(main.dataset.page);
        if (signedOut(p)) return expire();
        if (!p.ok || !take(await p.text())) throw new Error("page " + p.status);
        tag = r.headers.get("ETag");
      } else if (r.status !== 304) {
        wait = 1000 * Number(r.headers.get("Retry-After") || 0);
        throw new Error("status " + r.status);
      }
      failures = 0;
      checked = new Date(Date.now() - skew);
      show("offline", false);
    } catch {
      // The last good view stays; what is said is that it may be old.
      failures++;
      const at = $("checked");
      at.dateTime = checked.toISOString();
      let zone = main.dataset.zone;
      try { new Intl.DateTimeFormat(lang, { timeZone: zone }); } catch { zone = "UTC"; }
      say("checked", new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone }).format(checked) + " " + (zone === "UTC" ? zone : main.dataset.zoneName));
      show("offline", true);
    } finally {
      asking = false;
      if (!stopped) plan(wait);
    }
    tick();
  }

  function plan(atLeast) {
    clearTimeout(timer);
    if (Date.now() - touched > UNTOUCHED) { stopped = true; show("paused", true); return; }
    let ms = Math.max(pace * 2 ** Math.min(failures, 5), atLeast || 0);
    if (document.hidden) ms = Math.max(ms, HIDDEN);
    ms = Math.min(Math.max(ms, MIN), MAX) * (0.9 + 0.2 * Math.random());
    timer = setTimeout(look, ms);
  }
  function touch() { touched = Date.now(); }
  function now() { if (!document.hidden) { touch(); look(); } }

  for (const e of ["pointerdown", "keydown"]) addEventListener(e, touch, { passive: true });
  addEventListener("visibilitychange", now);
  addEventListener("online", now);
  addEventListener("pageshow", (e) => { if (e.persisted) now(); });
  $("resume").addEventListener("click", () => { stopped = false; show("paused", false); touch(); look(); });
  $("again").addEventListener("click", (e) => { if (!stopped) { e.preventDefault(); touch(); look(); } });
  setInterval(tick, 5000);
  plan();

  // A form that meets an expired session comes back as a page that only says what it was about to do. The tab remembers
  // what was chosen and typed, for whoever was signed in, until the next page is shown; an address never has the reason.
  const KEY = "nightlatch-intent", user = () => (document.querySelector("footer form span") || {}).textContent;
  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(KEY)); sessionStorage.removeItem(KEY); } catch { }
  if ($("intent") && kept && kept.user === user() && Date.now() - kept.at < 1800e3) {
    const form = $("form-" + $("intent").dataset.form);
    if (form && form.getAttribute("action") === kept.action) {
      for (const i of form.querySelectorAll("input[name=for]")) if (i.value === kept.length) i.checked = true;
      if ($("reason") && kept.reason) {
        $("reason").value = kept.reason;
        const more = $("reason").closest("details");
        if (more) more.open = true;
      }
    }
  }
  addEventListener("submit", (e) => {
    const action = e.target.getAttribute("action"), f = new FormData(e.target);
    try {
      if (action === "/sign-out") sessionStorage.clear();
      else sessionStorage.setItem(KEY, JSON.stringify({ action, user: user(), at: Date.now(), length: f.get("for"), reason: f.get("reason") }));
    } catch { }
  });

  // Where the organisation wants a visit to open: count down, then press the button for the person.
  const count = $("countdown");
  if (count) {
    let left = Number(count.dataset.seconds);
    count.hidden = false;
    stopped = true; // the form must not be replaced under the countdown
    const end = () => { clearInterval(beat); count.hidden = true; stopped = false; plan(); };
    const beat = setInterval(() => {
      if (document.hidden) return; // a tab in the background is nobody who looks
      say("left", String(--left));
      if (left > 0) return;
      clearInterval(beat);
      $("form-open").requestSubmit();
    }, 1000);
    $("cancel").addEventListener("click", end);
    $("cancel").focus();
    addEventListener("pagehide", () => clearInterval(beat));
  }
})();
