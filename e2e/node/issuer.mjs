// oidc-provider on an address of this machine, for one client and one person, until it is told to end. The pages are
// ours, because its own load a font from elsewhere and take any password; all else is as it comes. That means claims
// about the person at the userinfo endpoint and not in the ID token (OpenID Connect Core section 5.4), and a code to be
// redeemed once.
//
//	node issuer.mjs {"issuer","certificate","key","client_id","client_secret","redirect_url","signed_out_url","email","name","password"}
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Provider } from "oidc-provider";

const s = JSON.parse(process.argv[2]);
const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><link rel="icon" href="data:,"><h1>${title}</h1>${body}`;

const provider = new Provider(s.issuer, {
  clients: [{ client_id: s.client_id, client_secret: s.client_secret, redirect_uris: [s.redirect_url], post_logout_redirect_uris: [s.signed_out_url] }],
  claims: { email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: [crypto.randomUUID()] },
  pkce: { required: () => true },
  findAccount: (_, id) => id === s.email ? { accountId: id, claims: () => ({ sub: id, email: s.email, email_verified: true, name: s.name }) } : undefined,
  // Nobody is asked for consent.
  loadExistingGrant: async (ctx) => {
    const { client, session, provider } = ctx.oidc;
    const known = session.grantIdFor(client.clientId);
    if (known) return provider.Grant.find(known);
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid email profile");
    await grant.save();
    return grant;
  },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => { ctx.body = page("Sign out everywhere?", `${form}<button form="op.logoutForm" name="logout" value="yes">Yes</button>`); },
    },
  },
  renderError: (ctx, out) => { ctx.type = "html"; ctx.body = page("Refused", `<pre>${out.error}</pre>`); },
});
for (const event of ["server_error", "authorization.error", "grant.error", "userinfo.error", "end_session.error"]) {
  provider.on(event, (_, err) => console.error(event, err.error_description ?? err));
}

// What oidc-provider leaves to whoever runs it: finding out who somebody is.
const signIn = async (req, resp) => {
  const { prompt } = await provider.interactionDetails(req, resp);
  assert.equal(prompt.name, "login");
  let wrong = "";
  if (req.method === "POST") {
    const form = new URLSearchParams(Buffer.concat(await req.toArray()).toString());
    if (form.get("login") === s.email && form.get("password") === s.password) {
      return provider.interactionFinished(req, resp, { login: { accountId: s.email } });
    }
    wrong = `<p id="error">Wrong.</p>`;
  }
  resp.setHeader("Content-Type", "text/html; charset=utf-8");
  resp.end(page("Sign in", `${wrong}<form method="post" action="${req.url}"><input name="login"><input name="password" type="password"><button id="submit-login">Go on</button></form>`));
};
const others = provider.callback();
const { hostname, port } = new URL(s.issuer);
const server = createServer({ cert: readFileSync(s.certificate), key: readFileSync(s.key) }, (req, resp) => {
  if (!req.url.startsWith("/interaction/")) return others(req, resp);
  signIn(req, resp).catch((err) => {
    console.error(err);
    resp.statusCode = 500;
    resp.end(page("It does not work", ""));
  });
});
server.listen(port, hostname);
process.on("SIGTERM", () => process.exit());
