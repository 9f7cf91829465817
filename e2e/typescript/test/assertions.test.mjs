// jose accepts what the gate signs, by the keys that the gate publishes.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createRemoteJWKSet, jwtVerify } from 'jose';

import * as h from '../support/hallpass.mjs';

// The example application of the emulator, and who issues for it.
const audience = '737646a56ab1df6ec9bddc7e5ca84eaf3b0768850f3ffb5d74f1534911fe3893';
const issuer = 'https://test.cloudflareaccess.com';

describe('an assertion', () => {
  const hallpass = h.useHallpass();

  const assertion = async () => {
    const headers = {
      'X-Original-Host': 'app.example.com',
      'X-Original-URI': '/',
      'X-Real-IP': '192.0.2.1',
      'CF-Access-Client-Id': h.CLIENT_ID,
      'CF-Access-Client-Secret': h.CLIENT_SECRET,
    };
    const reply = await fetch(`${hallpass.gate}/auth/nginx`, { headers });
    assert.equal(reply.status, 200);
    return reply.headers.get('Cf-Access-Jwt-Assertion');
  };
  const validate = (token, wanted = {}) => {
    const keys = createRemoteJWKSet(new URL(`${hallpass.gate}/cdn-cgi/access/certs`));
    return jwtVerify(token, keys, { audience, issuer, ...wanted });
  };

  it('is accepted', async () => {
    const { payload, protectedHeader } = await validate(await assertion());
    assert.equal(protectedHeader.alg, 'RS256');
    assert.deepEqual(payload.aud, [audience]);
    assert.equal(payload.common_name, h.CLIENT_ID);
    assert.equal(payload.sub, '');
  });

  it('is refused where another audience or issuer is wanted, or where it was changed', async () => {
    const token = await assertion();
    await assert.rejects(validate(token, { audience: '0'.repeat(64) }), { claim: 'aud' });
    await assert.rejects(validate(token, { issuer: 'https://elsewhere.cloudflareaccess.com' }), { claim: 'iss' });
    const [head, claims, signature] = token.split('.');
    const other = claims.startsWith('e') ? 'f' : 'e';
    await assert.rejects(validate(`${head}.${other}${claims.slice(1)}.${signature}`));
  });

  it('is accepted after the key that signed it was rotated', async () => {
    const before = await assertion();
    await hallpass.withKey().zeroTrust.access.keys.rotate({ account_id: h.ACCOUNT });
    const after = await assertion();
    const [old, fresh] = await Promise.all([validate(before), validate(after)]);
    assert.notEqual(old.protectedHeader.kid, fresh.protectedHeader.kid);
  });
});
