// The settings for JSON Web Tokens.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, it } from 'node:test'
import { shardSettings } from '../../../../src/config/derive.ts'
import { configYaml } from '../../../../src/config/effective.ts'
import { jwtProblems, type JwtSettings, jwtSettings } from '../../../../src/config/jwt-settings.ts'
import { type LoadedConfig, loadConfig, type Sources } from '../../../../src/config/load.ts'
import { temporaryFolder } from '../../../support/temporary-folder.ts'

const MACHINE = { cores: 2, memoryBytes: 2 ** 30, descriptors: 4096 }

function read(t: TestContext, yaml: string, more: Partial<Sources> = {}) {
  const cwd = temporaryFolder(t)
  mkdirSync(path.join(cwd, 'etc'))
  writeFileSync(path.join(cwd, 'etc/sluice.yaml'), yaml)
  return loadConfig({
    flags: {}, env: {}, cwd, machine: MACHINE, configFile: 'etc/sluice.yaml', ...more,
  })
}

function load(t: TestContext, yaml: string, more: Partial<Sources> = {}): LoadedConfig {
  const loaded = read(t, yaml, more)
  assert.ok(loaded.ok, JSON.stringify(loaded))
  return loaded.value
}

const settingsOf = ({ config, sources }: LoadedConfig): JwtSettings | undefined =>
  jwtSettings(config, shardSettings(config, 'pem'), sources.cwd)

it('a key set is a URL, whose host may be dialled, or a file beside its setting\'s', (t) => {
  const yaml = `host: 0.0.0.0
egress: {deny: [10.0.0.0/8]}
jwt:
  jwks: https://Login.example.:8443/keys
  issuer: https://login.example/
  audience: sluice
  clock_skew: 1m
  tenant_claim: none
  scopes_claim: roles
  user_claim: sub
  tenants: {acme: 1, "x y": 65535}`
  const loaded = load(t, yaml)
  const { jwks, ...rest } = settingsOf(loaded) ?? {}
  assert.deepEqual(rest, {
    issuer: 'https://login.example/', audience: 'sluice', clockSkewMs: 60_000, tenantClaim: '',
    scopesClaim: 'roles', userClaim: 'sub', tenants: { acme: 1, 'x y': 65_535 },
  })
  assert.ok(jwks !== undefined && 'url' in jwks)
  assert.equal(jwks.url, 'https://Login.example.:8443/keys')
  assert.equal(jwks.extraCaPem, 'pem')
  assert.deepEqual([jwks.egress?.named, jwks.egress?.deny, jwks.egress?.isOpen],
    [['login.example'], ['10.0.0.0/8'], false])
  // What is printed gives the same again.
  assert.deepEqual(settingsOf(load(t, configYaml(loaded))), settingsOf(loaded))

  const file = load(t, 'jwt: {jwks: keys.json, issuer: a, audience: b}')
  assert.deepEqual(settingsOf(file)?.jwks, { file: path.join(file.sources.cwd, 'etc/keys.json') })
  const env = { SLUICE_JWT_JWKS: 'keys.json', SLUICE_JWT_TENANTS: '{acme: 3}' }
  const given = load(t, '', { env })
  assert.deepEqual(settingsOf(given)?.jwks, { file: path.join(given.sources.cwd, 'keys.json') })
  assert.deepEqual(settingsOf(given)?.tenants, { acme: 3 })
  assert.equal(settingsOf(load(t, 'jwt: {issuer: a}')), undefined)
})

it('what is missing or wrong is named', (t) => {
  const problems = (yaml: string): string[] => {
    const { config, origins } = load(t, yaml)
    return jwtProblems(config, origins).map(({ key }) => key)
  }
  assert.deepEqual(problems('jwt: {jwks: a}'), ['jwt.issuer', 'jwt.audience'])
  assert.deepEqual(problems('jwt: {jwks: a, issuer: b}'), ['jwt.audience'])
  assert.deepEqual(problems('jwt: {jwks: a, issuer: b, audience: c}'), [])
  assert.deepEqual(problems('jwt: {issuer: b}'), [])
  for (const [key, value] of [['jwks', 'https://ann:secret@a/'], ['jwks', 'https://'],
    ['jwks', '5'], ['issuer', 'a b'], ['clock_skew', '6m'], ['scopes_claim', '""'],
    ['tenants', '{acme: 65536}'], ['tenants', '{acme: "1"}'], ['tenants', '[1]'],
    ['tenants', '{"": 1}'], ['algorithms', '[none]']] as const) {
    const loaded = read(t, `jwt: {${key}: ${value}}`)
    assert.ok(!loaded.ok, `${key}: ${value}`)
    assert.ok(loaded.problems.every((problem) => problem.key.startsWith(`jwt.${key}`)),
      JSON.stringify(loaded.problems))
  }
})
