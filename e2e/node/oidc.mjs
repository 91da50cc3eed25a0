// openid-client as a relying party of the demo's user pool. It prints the address to sign in at, reads the address that
// the browser was sent back to, and uses the code in it.
//
//	node oidc.mjs {"issuer","domain","clientId","clientSecret","redirectUri"}
import "./localhost.mjs";
import assert from "node:assert/strict";
import { createInterface } from "node:readline/promises";
import * as client from "openid-client";

const c = JSON.parse(process.argv[2]);
const config = new client.Configuration({
  issuer: c.issuer, authorization_endpoint: c.domain + "/oauth2/authorize", token_endpoint: c.domain + "/oauth2/token", userinfo_endpoint: c.domain + "/oauth2/userInfo",
}, c.clientId, c.clientSecret, c.post ? client.ClientSecretPost(c.clientSecret) : client.ClientSecretBasic(c.clientSecret));

const verifier = client.randomPKCECodeVerifier(), state = client.randomState(), nonce = client.randomNonce();
const address = client.buildAuthorizationUrl(config, {
  redirect_uri: c.redirectUri, scope: "openid", state, nonce, identity_provider: "IdentityCenter",
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
});
console.log(address.href);
const lines = createInterface({ input: process.stdin });
const { value } = await lines[Symbol.asyncIterator]().next();
lines.close();
const back = new URL(value);
const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
const tokens = await client.authorizationCodeGrant(config, back, checks);
const claims = tokens.claims();
assert.equal(claims.token_use, "id");
assert.match(claims["cognito:username"], /^IdentityCenter_/i);
const about = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
assert.equal(about.email, c.email);
assert.equal(about.email_verified, "false"); // Cognito's own: a string
const fresh = await client.refreshTokenGrant(config, tokens.refresh_token);
assert.equal(fresh.claims().sub, claims.sub);
await assert.rejects(client.authorizationCodeGrant(config, back, checks), (e) => { assert.equal(e.error, "invalid_grant"); return true; });
await assert.rejects(client.fetchUserInfo(config, "not-a-token", claims.sub), (e) => { assert.equal(e.status ?? e.response?.status, 401, String(e)); return true; });
console.log("ok", about.email);
