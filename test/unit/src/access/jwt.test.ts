// JSON Web Tokens: which are accepted, how long they are known, and where the keys come from.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  type JWTPayload, SignJWT, UnsecuredJWT, exportJWK, exportSPKI, generateKeyPair,
} from 'jose'
import { type Micros, msToUs } from '../../../../shards/base/units.ts'
import type { Fetched } from '../../../../src/access/jwks.ts'
import { Jwt } from '../../../../src/access/jwt.ts'
import { mayDo } from '../../../../src/access/principal.ts'
import { TokenChecks } from '../../../../src/access/token-checks.ts'
import {
  JWKS_BYTES_MAX, JWKS_LIFETIME_MS, JWKS_PAUSE_MS_MIN, JWT_BYTES_MAX, JWT_CHECKS_AT_ONCE,
  JWT_CHECKS_MAX, JWT_REFUSED_MS,
} from '../../../../src/base/limits.ts'
import type { JwksPlace, JwtSettings } from '../../../../src/config/jwt-settings.ts'
import { keptLog } from '../../../support/kept-log.ts'
import { quickFolder } from '../../../support/temporary-folder.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

const URL_PLACE: JwksPlace = { url: 'https://issuer/keys', egress: undefined, extraCaPem: '' }
const SETTINGS = {
  issuer: 'https://issuer', audience: 'sluice', clockSkewMs: 30_000, tenantClaim: 'tenant',
  scopesClaim: 'scope', userClaim: '', tenants: { acme: 12 },
}

/** A key of the issuer. */
async function signer(kid: string, alg = 'ES256') {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = { ...await exportJWK(publicKey), kid, alg }
  const sign = (payload: JWTPayload, header: object = {}): Promise<string> =>
    new SignJWT(payload).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
  return { jwk, publicKey, sign }
}
type Signer = Awaited<ReturnType<typeof signer>>

const setOf = (...signers: Signer[]): string =>
  JSON.stringify({ keys: signers.map(({ jwk }) => jwk) })

/** Clients. */
const ANN = 1
const MALLORY = 2

const one = await signer('one')
const two = await signer('two')

/** Times, a log, and a fetch that answers what the test says. */
function scene(t: TestContext, settings: Partial<JwtSettings> = {}) {
  const time = new VirtualTime()
  const clock = time.clock()
  const nowMs = (): number => clock.wallMs(clock.nowUs())
  const fetches: PromiseWithResolvers<Fetched>[] = []
  const log = keptLog()
  const jwt = new Jwt({
    settings: { ...SETTINGS, jwks: URL_PLACE, ...settings }, clock: time.clock(), log,
    fetch: () => {
      const fetch = Promise.withResolvers<Fetched>()
      fetches.push(fetch)
      return fetch.promise
    },
  })
  t.after(() => jwt.close())
  const good = (claims: object = {}): JWTPayload => ({
    iss: 'https://issuer', aud: 'sluice', exp: Math.floor(nowMs() / 1000) + 60, tenant: 7,
    scope: 'openid submit read', ...claims,
  })
  const answer = async (fetched: Fetched): Promise<void> => {
    fetches.at(-1)?.resolve(fetched)
    await Promise.resolve()
    await fetches.at(-1)?.promise
  }
  const pass = (ms: number): void => time.advanceTo(time.nowUs() + msToUs(ms) as Micros)
  return { answer, fetches, good, jwt, log, nowMs, pass }
}

function fileOf(t: TestContext, ...signers: Signer[]): { file: string } {
  const file = path.join(quickFolder(t), 'jwks.json')
  writeFileSync(file, setOf(...signers))
  return { file }
}

test('a token is unknown until it is checked, and then known until it expires', async (t) => {
  const { good, jwt, nowMs, pass } = scene(t, { jwks: fileOf(t, one) })
  const token = await one.sign(good())
  assert.equal(jwt.verify(token, nowMs()), 'unknown')
  const [principal, same] = await Promise.all([jwt.check(token, ANN), jwt.check(token, ANN)])
  assert.ok(typeof principal === 'object')
  const { caller, limits, validity, ...rest } = principal
  assert.deepEqual(rest,
    { tenant: 7, scopes: new Set(['submit', 'read']), user: null, key: 0, keyId: '' })
  assert.ok(mayDo(principal, 'submit') && !mayDo(principal, 'operate') && caller > 0)
  assert.equal(limits.jobsQueued, Infinity)
  assert.equal(validity.untilMs, (good().exp as number) * 1000 + SETTINGS.clockSkewMs)
  assert.equal(same, principal)
  assert.equal(jwt.verify(token, nowMs()), principal)
  pass(60_000 + 30_000 - 1000)
  assert.equal(jwt.verify(token, nowMs()), principal)
  pass(1000)
  assert.equal(jwt.verify(token, nowMs()), 'unknown')
  assert.equal(await jwt.check(token, ANN), undefined)
})

test('every algorithm with a public key is accepted', async (t) => {
  const signers = await Promise.all(['RS256', 'PS384', 'ES512', 'EdDSA']
    .map((alg) => signer(alg, alg)))
  const { good, jwt } = scene(t, { jwks: fileOf(t, ...signers) })
  for (const { jwk, sign } of signers) {
    assert.equal(typeof await jwt.check(await sign(good()), ANN), 'object', jwk.alg)
  }
})

test('a token that is not whole, in time, for us or signed is refused', async (t) => {
  const { good, jwt, log, nowMs, pass } = scene(t, { jwks: fileOf(t, one) })
  const nowS = Math.floor(nowMs() / 1000)
  const secret = new TextEncoder().encode(await exportSPKI(one.publicKey))
  const whole = await one.sign(good())
  const { exp: _, ...timeless } = good()
  const cases: [name: string, token: string][] = [
    ['expired', await one.sign(good({ exp: nowS - 31 }))],
    ['not yet valid', await one.sign(good({ nbf: nowS + 60 }))],
    ['without an end', await one.sign(timeless)],
    ['of another issuer', await one.sign(good({ iss: 'https://other' }))],
    ['for another audience', await one.sign(good({ aud: ['other'] }))],
    ['without an audience', await one.sign(good({ aud: undefined }))],
    ['by another key', await two.sign(good(), { kid: 'one' })],
    ['by an unknown key', await two.sign(good())],
    ['changed', whole.replace(/\.[^.]+\./, `.${btoa(JSON.stringify(good({ tenant: 8 })))}.`)],
    ['without a signature', new UnsecuredJWT(good()).encode()],
    ['signed with the public key', await new SignJWT(good())
      .setProtectedHeader({ alg: 'HS256', kid: 'one' }).sign(secret)],
    ['not a token', 'a.b.c'],
    ['too long', await one.sign(good({ more: 'x'.repeat(JWT_BYTES_MAX) }))],
    ['without a tenant', await one.sign(good({ tenant: undefined }))],
  ]
  for (const [name, token] of cases) {
    assert.equal(await jwt.check(token, ANN), undefined, name)
    assert.equal(jwt.verify(token, nowMs()), undefined, name)
  }
  assert.equal(typeof await jwt.check(whole, ANN), 'object')
  // One line for all of them, and what it says is not what they say.
  assert.deepEqual(log.lines.map(({ fields }) => fields), [{ reason: 'ERR_JWT_EXPIRED' }])
  pass(JWT_REFUSED_MS)
  assert.equal(jwt.verify(cases[0]?.[1] ?? '', nowMs()), 'unknown')
})

test('claims say tenant, scopes and user, as the settings have it', async (t) => {
  const { good, jwt } = scene(t, {
    jwks: fileOf(t, one), tenantClaim: 'org', scopesClaim: 'roles', userClaim: 'sub',
  })
  const check = async (claims: object): Promise<unknown> => {
    const result = await jwt.check(await one.sign(good(claims)), ANN)
    return typeof result === 'object' ? [result.tenant, result.user, [...result.scopes]] : result
  }
  assert.deepEqual(await check({ org: 'acme', sub: 'ann', roles: ['admin', 'x', 5] }),
    [12, 'ann', ['admin']])
  assert.deepEqual(await check({ org: '65535', sub: 'ann', roles: 7 }), [65_535, 'ann', []])
  assert.deepEqual(await check({ org: 0, sub: 'ann', scope: 'admin' }), [0, 'ann', []])
  for (const org of ['other', 65_536, -1, 1.5, '-1', '1e3', '', null, ['acme'], '__proto__',
    'constructor', true]) {
    assert.equal(await check({ org, sub: 'ann' }), undefined, String(org))
  }
  for (const sub of ['', 5, undefined, 'é'.repeat(500)]) {
    assert.equal(await check({ org: 1, sub }), undefined, String(sub))
  }
  const plain = scene(t, { jwks: fileOf(t, one), tenantClaim: '' })
  const result = await plain.jwt.check(await one.sign(plain.good()), ANN)
  assert.ok(typeof result === 'object' && result.tenant === 0)
})

test('keys are fetched at the start, again in a while, and earlier for an unknown key',
  async (t) => {
    const { answer, fetches, good, jwt, nowMs, pass } = scene(t)
    const first = await one.sign(good())
    assert.equal(fetches.length, 1)
    const waiting = jwt.check(first, ANN)
    await answer({ text: setOf(one) })
    const principal = await waiting
    assert.equal(typeof principal, 'object')

    // Within the pause, an unknown key costs no fetch.
    assert.equal(await jwt.check(await two.sign(good()), ANN), undefined)
    assert.equal(fetches.length, 1)
    pass(JWKS_PAUSE_MS_MIN)
    const later = await two.sign(good({ jti: 'later' }))
    const rotated = jwt.check(later, ANN)
    // The one that is known does not wait.
    assert.equal(jwt.verify(first, nowMs()), principal)
    while (fetches.length < 2) await new Promise((resolve) => { setImmediate(resolve) })
    await answer({ text: setOf(two) })
    assert.equal(typeof await rotated, 'object')
    // What the old keys have signed does not count any more.
    assert.equal(jwt.verify(first, nowMs()), 'unknown')
    assert.equal(await jwt.check(first, ANN), undefined)
    pass(JWKS_LIFETIME_MS)
    assert.equal(fetches.length, 3)
  })

test('if a fetch fails, the last good keys stay, and another follows after a pause', async (t) => {
  const { answer, fetches, good, jwt, log, pass } = scene(t)
  const early = jwt.check(await one.sign(good()), ANN)
  await answer({ error: 'no route' })
  assert.equal(await early, 'busy')
  assert.equal(await jwt.check(await one.sign(good()), ANN), 'busy')
  pass(JWKS_PAUSE_MS_MIN)
  assert.equal(fetches.length, 2)
  await answer({ text: setOf(one) })
  for (const text of ['{', '{}', '{"keys":[]}', '{"keys":[1]}', ' '.repeat(JWKS_BYTES_MAX + 1)]) {
    pass(JWKS_LIFETIME_MS)
    await answer({ text })
    assert.equal(typeof await jwt.check(await one.sign(good({ jti: text.slice(0, 9) })), ANN),
      'object', text.slice(0, 9))
  }
  const reasons = log.lines.filter(({ level }) => level === 'warn')
    .map(({ fields }) => (fields as { reason: string }).reason)
  const named = 'the key set of https://issuer/keys'
  assert.deepEqual(reasons, ['no route', `${named} is not a JSON Web Key Set`,
    `${named} is not a JSON Web Key Set`, `${named} has no keys`,
    `${named} is not a JSON Web Key Set`, `${named} has more than ${JWKS_BYTES_MAX} bytes`])
})

test('new tokens of one client do not keep out those of another', async (t) => {
  const { answer, good, jwt } = scene(t)
  const forged = Array.from({ length: JWT_CHECKS_MAX }, (_, at) => `${at}.${'x'.repeat(9)}.y`)
  const tokens = await Promise.all(Array.from({ length: 20 }, (_, at) => one.sign(good({ at }))))
  const bad = forged.map((token) => jwt.check(token, MALLORY))
  const right = tokens.map((token) => jwt.check(token, ANN))
  await answer({ text: setOf(one) })
  assert.ok((await Promise.all(right)).every((each) => typeof each === 'object'))
  const refused = await Promise.all(bad)
  // Beyond its share, a client may ask again.
  assert.equal(refused.filter((each) => each === 'busy').length, Math.floor(JWT_CHECKS_MAX / 5))
  // All that was taken is given back.
  const more = await Promise.all(Array.from({ length: JWT_CHECKS_MAX / 2 },
    (_, at) => jwt.check(`more.${at}`, MALLORY)))
  assert.ok(more.every((each) => each === undefined))
})

test('what waits is verified in turns of the clients', async () => {
  const checks = new TokenChecks()
  const ends = Array.from({ length: JWT_CHECKS_AT_ONCE }, () => Promise.withResolvers<void>())
  const begun: string[] = []
  const all = ends.map(({ promise }) => checks.inTurn(MALLORY, () => promise))
  for (const [name, client] of [['m1', MALLORY], ['m2', MALLORY], ['m3', MALLORY], ['a1', ANN],
    ['a2', ANN]] as const) {
    all.push(checks.inTurn(client, async () => void begun.push(name)))
  }
  assert.deepEqual(begun, [])
  ends[0]?.resolve()
  await Promise.all(all.slice(JWT_CHECKS_AT_ONCE))
  assert.deepEqual(begun, ['m1', 'a1', 'm2', 'a2', 'm3'])
  for (const { resolve } of ends) resolve()
  await Promise.all(all)
})

test('a token that ends within a second is known for as long as it is accepted', async (t) => {
  const { good, jwt, nowMs, pass } = scene(t, { jwks: fileOf(t, one), clockSkewMs: 100 })
  const token = await one.sign(good({ exp: Math.floor(nowMs() / 1000) + 1.25 }))
  for (let passed = 0; passed < 2500; passed += 50) {
    const checked = await jwt.check(token, ANN)
    assert.equal(jwt.verify(token, nowMs()), checked, `after ${passed} ms`)
    pass(50)
  }
  assert.equal(await jwt.check(token, ANN), undefined)
})

test('a reload reads the file again, and keeps the keys of the same URL', async (t) => {
  const jwks = fileOf(t, one)
  const { answer, fetches, good, jwt, nowMs, pass } = scene(t, { jwks })
  const token = await one.sign(good())
  assert.equal(typeof await jwt.check(token, ANN), 'object')
  writeFileSync(jwks.file, setOf(two))
  jwt.configure({ ...SETTINGS, jwks })
  assert.equal(jwt.verify(token, nowMs()), 'unknown')
  assert.equal(await jwt.check(token, ANN), undefined)
  writeFileSync(jwks.file, '{}')
  assert.match(Jwt.problem({ ...SETTINGS, jwks }) ?? '', /jwks\.json is not a JSON Web Key Set/)
  assert.match(Jwt.problem({ ...SETTINGS, jwks: { file: '/none' } }) ?? '', /cannot read the key/)

  jwt.configure({ ...SETTINGS, jwks: URL_PLACE })
  await answer({ text: setOf(one) })
  assert.equal(typeof await jwt.check(token, ANN), 'object')
  pass(JWKS_PAUSE_MS_MIN)
  jwt.configure({ ...SETTINGS, jwks: { ...URL_PLACE }, audience: 'other' })
  assert.equal(fetches.length, 2)
  assert.equal(jwt.verify(token, nowMs()), 'unknown')
  assert.equal(await jwt.check(token, ANN), undefined)
  const other = await one.sign(good({ aud: 'other' }))
  assert.equal(typeof await jwt.check(other, ANN), 'object')
  jwt.configure(undefined)
  assert.equal(jwt.isOn, false)
  assert.equal(jwt.verify(other, nowMs()), undefined)
  assert.equal(await jwt.check(other, ANN), undefined)
})
