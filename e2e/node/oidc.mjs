// openid-client as a relying party of the demo's user pool, which it knows by its issuer alone. It prints the address to
// sign in at, reads the address that the browser was sent back to, and uses the code in it.
//
//	node oidc.mjs {"issuer","aws","poolId","clientId","clientSecret","redirectUri","email","post"}
import "./localhost.mjs";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline/promises";
import * as client from "openid-client";

const c = JSON.parse(process.argv[2]);
// The issuer is on a host of AWS's, whose part the demo's address for command lines plays.
const asked = [];
const there = (keys) => async (address, options) => {
  asked.push(address);
  const resp = await fetch(address.startsWith(c.issuer) ? address.replace(c.issuer, `${c.aws}/${c.poolId}`) : address, options);
  return keys && address.endsWith("/jwks.json") ? Response.json(keys(await resp.json())) : resp;
};
const discover = async (keys) => {
  const config = await client.discovery(new URL(c.issuer), c.clientId, c.clientSecret, c.post ? client.ClientSecretPost(c.clientSecret) : client.ClientSecretBasic(c.clientSecret),
    { [client.customFetch]: there(keys) });
  client.enableNonRepudiationChecks(config); // check signatures, although the tokens come from the issuer by TLS
  return config;
};
const config = await discover();
assert.equal(config.serverMetadata().issuer, c.issuer);

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
assert.deepEqual(asked.filter((a) => a.startsWith(c.issuer)), [`${c.issuer}/.well-known/openid-configuration`, `${c.issuer}/.well-known/jwks.json`]);
const claims = tokens.claims();
assert.equal(claims.token_use, "id");
assert.match(claims["cognito:username"], /^IdentityCenter_/i);
// OpenID Connect Core section 3.1.3.6.
assert.equal(claims.at_hash, createHash("sha256").update(tokens.access_token).digest().subarray(0, 16).toString("base64url"));
const about = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
assert.equal(about.email, c.email);
assert.equal(about.email_verified, "false"); // Cognito's own: a string
const fresh = await client.refreshTokenGrant(config, tokens.refresh_token);
assert.equal(fresh.claims().sub, claims.sub);
// With another key behind the issuer's address it must be refused, or the acceptance above means nothing.
const other = await discover(({ keys }) => ({ keys: keys.map((k) => ({ ...k, e: "Aw" })) }));
await assert.rejects(client.refreshTokenGrant(other, tokens.refresh_token), (e) => { assert.match(String(e.cause ?? e), /signature/i); return true; });
await assert.rejects(client.authorizationCodeGrant(config, back, checks), (e) => { assert.equal(e.error, "invalid_grant"); return true; });
await assert.rejects(client.fetchUserInfo(config, "not-a-token", claims.sub), (e) => { assert.equal(e.status ?? e.response?.status, 401, String(e)); return true; });
console.log("ok", about.email);
