// node-saml as a service provider at the demo's Identity Center, in the place of the user pool: it prints the address to
// sign in at, reads the response that the browser was given to post, and judges it.
//
//	node saml.mjs {"metadata","acs","audience","email"}
import "./localhost.mjs";
import assert from "node:assert/strict";
import { createInterface } from "node:readline/promises";
import { SAML, ValidateInResponseTo } from "@node-saml/node-saml";

const c = JSON.parse(process.argv[2]);
const metadata = await (await fetch(c.metadata)).text();
const one = (pattern) => { const found = metadata.match(pattern); assert.ok(found, `no ${pattern} in the metadata:\n${metadata}`); return found[1]; };
const sp = (more) => new SAML({
  entryPoint: one(/SingleSignOnService[^>]*HTTP-Redirect"[^>]*Location="([^"]+)"/),
  idpIssuer: one(/entityID="([^"]+)"/), idpCert: one(/X509Certificate>\s*([^<]+?)\s*</).replace(/\s+/g, ""),
  issuer: c.audience, audience: c.audience, callbackUrl: c.acs, identifierFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
  wantAssertionsSigned: true, wantAuthnResponseSigned: c.wantResponseSigned ?? false, validateInResponseTo: ValidateInResponseTo.always,
  disableRequestedAuthnContext: true, acceptedClockSkewMs: 0, ...more,
});
const saml = sp();
console.log(await saml.getAuthorizeUrlAsync("relay", undefined, {}));
const lines = createInterface({ input: process.stdin });
const { value: SAMLResponse } = await lines[Symbol.asyncIterator]().next();
lines.close();

const xml = Buffer.from(SAMLResponse, "base64").toString();
assert.ok(!/rsa-sha1|xmldsig#sha1/.test(xml), "signed with SHA-1");
// Altered, it must be refused, or the acceptance below means nothing.
const altered = Buffer.from(xml.replaceAll("alice", "mallory")).toString("base64");
await assert.rejects(sp({ validateInResponseTo: ValidateInResponseTo.never }).validatePostResponseAsync({ SAMLResponse: altered }), /signature/i);
// An answer to another's question.
await assert.rejects(sp().validatePostResponseAsync({ SAMLResponse }), /InResponseTo/);
const { profile } = await saml.validatePostResponseAsync({ SAMLResponse });
assert.equal(profile.Email ?? profile.email, c.email, JSON.stringify(profile));
assert.ok(profile.nameID);
// The same once more.
await assert.rejects(saml.validatePostResponseAsync({ SAMLResponse }), /InResponseTo/);
console.log("ok", profile.nameID);
