// Applications, policies, groups, organizations and keys: what was sent comes back.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import Cloudflare from 'cloudflare';

import * as h from '../support/hallpass.mjs';

const account_id = h.ACCOUNT;
const tokenRule = { service_token: { token_id: h.SERVICE_TOKEN } };

/** Without when it was changed, which every change moves. */
const unstamped = ({ updated_at, ...rest }) => rest;

describe('what the gate judges by', () => {
  const hallpass = h.useHallpass();
  const zeroTrust = () => hallpass.withKey().zeroTrust;

  it('has applications, which go round without drift', async () => {
    const api = zeroTrust().access.applications;
    const said = {
      account_id,
      type: 'self_hosted',
      domain: 'reports.example.com/daily',
      name: 'Reports',
      session_duration: '6h',
      app_launcher_visible: false,
      service_auth_401_redirect: true,
      read_service_tokens_from_header: 'Authorization',
      cors_headers: { allow_all_origins: true, max_age: 10 },
      tags: ['machines'],
      policies: [{ name: 'own', decision: 'non_identity', include: [tokenRule] }],
    };
    const made = await api.create(said);
    for (const field of Object.keys(said).filter((name) => !/^(account_id|policies)$/.test(name))) {
      assert.deepEqual(made[field], said[field], field);
    }
    assert.deepEqual(made.self_hosted_domains, [said.domain]);
    assert.deepEqual(made.destinations, [{ type: 'public', uri: said.domain }]);
    assert.match(made.aud, /^[0-9a-f]{64}$/);
    const [own] = made.policies;
    assert.equal(own.decision, 'non_identity');
    assert.equal(own.precedence, 1);
    assert.deepEqual(own.include, [tokenRule]);

    assert.deepEqual(await api.get(made.id, { account_id }), made);
    assert.deepEqual(await h.all(api.list({ account_id, name: 'Reports' })), [made]);
    // The very same once more changes nothing but the time.
    const policies = [{ id: own.id, precedence: 1 }];
    assert.deepEqual(
      unstamped(await api.update(made.id, { ...said, policies })),
      unstamped(made),
    );

    await api.revokeTokens(made.id, { account_id });
    assert.equal((await api.delete(made.id, { account_id })).id, made.id);
    await h.refusal(api.get(made.id, { account_id }), Cloudflare.NotFoundError, 404, 11021);
  });

  it('has policies of an application, which go round without drift', async () => {
    const { applications } = zeroTrust().access;
    const app = await applications.create({ account_id, type: 'self_hosted', domain: 'x.example.com' });
    const api = applications.policies;
    const said = {
      account_id,
      name: 'ci',
      decision: 'non_identity',
      precedence: 3,
      include: [tokenRule, { ip: { ip: '192.0.2.0/24' } }],
      require: [{ everyone: {} }],
    };
    const made = await api.create(app.id, said);
    for (const field of ['name', 'decision', 'precedence', 'include', 'require']) {
      assert.deepEqual(made[field], said[field], field);
    }
    const where = { account_id, app_id: app.id };
    assert.deepEqual(await api.get(made.id, where), made);
    assert.deepEqual((await h.all(api.list(app.id, { account_id }))).map(({ id }) => id), [made.id]);
    assert.deepEqual(unstamped(await api.update(made.id, { ...where, ...said })), unstamped(made));
    const renamed = await api.update(made.id, { ...where, ...said, name: 'deploy' });
    assert.deepEqual(unstamped(renamed), { ...unstamped(made), name: 'deploy' });
    assert.equal((await api.delete(made.id, where)).id, made.id);
  });

  it('has reusable policies, which go round without drift and count their applications', async () => {
    const { applications, policies: api } = zeroTrust().access;
    const said = {
      account_id,
      name: 'machines',
      decision: 'non_identity',
      include: [{ any_valid_service_token: {} }],
      exclude: [tokenRule],
    };
    const made = await api.create(said);
    assert.deepEqual([made.reusable, made.app_count], [true, 0]);
    assert.deepEqual([made.include, made.exclude], [said.include, said.exclude]);
    assert.deepEqual(await api.get(made.id, { account_id }), made);
    assert.deepEqual(unstamped(await api.update(made.id, said)), unstamped(made));

    const app = await applications.create({
      account_id,
      type: 'self_hosted',
      domain: 'x.example.com',
      policies: [made.id],
    });
    assert.deepEqual(app.policies.map(({ id }) => id), [made.id]);
    const listed = await h.all(api.list({ account_id }));
    assert.deepEqual(listed.map(({ id, app_count }) => [id, app_count]), [[made.id, 1]]);
    await applications.delete(app.id, { account_id });
    assert.equal((await api.delete(made.id, { account_id })).id, made.id);
  });

  it('has groups, which go round without drift', async () => {
    const api = zeroTrust().access.groups;
    const said = {
      account_id,
      name: 'robots',
      include: [tokenRule],
      require: [{ ip: { ip: '192.0.2.1/32' } }],
    };
    const made = await api.create(said);
    assert.deepEqual([made.name, made.include, made.require], [said.name, said.include, said.require]);
    assert.deepEqual(await api.get(made.id, { account_id }), made);
    assert.deepEqual((await h.all(api.list({ account_id }))).map(({ id }) => id), [made.id]);
    assert.deepEqual(unstamped(await api.update(made.id, said)), unstamped(made));
    assert.equal((await api.delete(made.id, { account_id })).id, made.id);
  });

  it('has an organization, which changes as said', async () => {
    const api = zeroTrust().organizations;
    assert.equal((await api.list({ account_id })).auth_domain, 'test.cloudflareaccess.com');
    const said = {
      account_id,
      auth_domain: 'acme.example.com',
      name: 'Acme',
      session_duration: '24h',
      deny_unmatched_requests: true,
      service_token_inactivity: { enabled: true, action: 'disable', inactivity_threshold_days: 90 },
    };
    const changed = await api.update(said);
    for (const field of Object.keys(said).filter((name) => name !== 'account_id')) {
      assert.deepEqual(changed[field], said[field], field);
    }
    assert.deepEqual(await api.list({ account_id }), changed);
    assert.deepEqual(unstamped(await api.update(said)), unstamped(changed));
  });

  it('has keys with a schedule, which rotate on demand', async () => {
    const api = zeroTrust().access.keys;
    const began = await api.get({ account_id });
    assert.ok(began.days_until_next_rotation <= began.key_rotation_interval_days);
    const changed = await api.update({ account_id, key_rotation_interval_days: 30 });
    assert.equal(changed.key_rotation_interval_days, 30);
    assert.deepEqual(await api.get({ account_id }), changed);
    await hallpass.advance('24h');
    const rotated = await api.rotate({ account_id });
    assert.equal(rotated.key_rotation_interval_days, 30);
    h.assertNear(rotated.last_key_rotation_at, await hallpass.now());
  });
});
