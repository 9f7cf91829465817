// The audit log, as the stock client reads it: all pages by itself, from newest to oldest.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import Cloudflare from 'cloudflare';

import * as h from '../support/hallpass.mjs';

const account_id = h.ACCOUNT;

describe('the audit log', () => {
  const hallpass = h.useHallpass();
  const token = { account_id };

  // From an hour ago to a day ahead: the emulator's clock is moved in between.
  const window = () => {
    const at = (milliseconds) => new Date(Date.now() + milliseconds).toISOString();
    // What the emulator makes for its gate when it starts is left out.
    const resource_type = { not: ['signing_key', 'app'] };
    return { account_id, since: at(-3_600_000), before: at(86_400_000), resource_type };
  };

  const entries = async (query = {}, client = hallpass.withKey()) => {
    const found = [];
    for await (const entry of client.accounts.logs.audit.list({ ...window(), ...query })) found.push(entry);
    return found;
  };

  it('brings every change exactly once, page by page', async () => {
    const api = hallpass.withToken().zeroTrust.access.serviceTokens;
    const made = [];
    for (let n = 0; n < 5; n += 1) {
      await hallpass.advance('1s');
      made.unshift((await api.create({ ...token, name: `token ${n}` })).id);
    }
    await hallpass.advance('1s');
    await api.refresh(h.SERVICE_TOKEN, token);
    await hallpass.advance('1s');
    const { client_secret } = await api.rotate(h.SERVICE_TOKEN, token);

    const found = await entries({ limit: 2 });

    assert.deepEqual(
      found.map((entry) => [entry.action.description, entry.resource.id]),
      [
        ['service_token.rotate', h.SERVICE_TOKEN],
        ['service_token.refresh', h.SERVICE_TOKEN],
        ...made.map((id) => ['service_token.create', id]),
      ],
    );
    assert.ok(!JSON.stringify(found).includes(client_secret));
    const oldestFirst = await entries({ limit: 3, direction: 'asc' });
    assert.deepEqual(oldestFirst.reverse(), found);
    const [{ account, action, actor }] = found;
    assert.deepEqual(account, { id: account_id, name: 'Example' });
    assert.deepEqual([action.type, action.result], ['update', 'success']);
    assert.deepEqual([actor.type, actor.context, actor.email], ['user', 'api_token', h.EMAIL]);
  });

  it('leaves out what a filter names', async () => {
    const api = hallpass.withToken().zeroTrust.access.serviceTokens;
    const made = await api.create({ ...token, name: 'one' });
    await api.refresh(h.SERVICE_TOKEN, token);
    await api.delete(made.id, token);
    const actions = async (query) => (await entries(query)).map((entry) => entry.action.type).sort();

    assert.deepEqual(await actions({ action_type: { not: ['create', 'update'] } }), ['delete']);
    assert.deepEqual(await actions({ resource_id: { not: [made.id] } }), ['update']);
    assert.deepEqual(await actions({ actor_email: { not: [h.EMAIL] } }), []);
    assert.deepEqual(await actions({ actor_context: { not: ['api_key'] } }), ['create', 'delete', 'update']);
    await h.refusal(entries({ zone_id: { not: [h.ZONE] } }), Cloudflare.BadRequestError, 400, 12130);
  });

  it('is closed to a token without the permission', async () => {
    await h.refusal(entries({}, hallpass.withToken()), Cloudflare.PermissionDeniedError, 403, 10000);
  });
});
