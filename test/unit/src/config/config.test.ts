// The configuration: where values come from, which wins, and how everything wrong is told. Files
// are real ones in a temporary folder; flags, environment and machine are given.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { MIB } from '../../../../shards/base/units.ts'
import { BODY_LIMIT_BYTES_MAX } from '../../../../shards/memory/limits.ts'
import { planMemory, SEGMENT_BYTES_MAX } from '../../../../shards/memory/plan.ts'
import { redact } from '../../../../src/base/log.ts'
import { type Problem, closest, formatProblems } from '../../../../src/base/problem.ts'
import { runProgram } from '../../../../src/cli/program.ts'
import {
  memorySettings, readExtraCa, shardSettings, queueSwitchByCaller, upstreamResolver,
} from '../../../../src/config/derive.ts'
import { configJson, configYaml } from '../../../../src/config/effective.ts'
import { changesThatNeedRestart } from '../../../../src/config/live.ts'
import {
  loadConfig, type LoadedConfig, loadPart, type Sources,
} from '../../../../src/config/load.ts'
import { SETTING_ENTRIES, type SettingName } from '../../../../src/config/settings.ts'

interface Given {
  flags?: Partial<Record<SettingName, string>>
  env?: Record<string, string>
  yaml?: string
  configFile?: string
}

const MACHINE = { cores: 8, memoryBytes: 1024 * MIB, descriptors: 20_000 }

function sourcesOf(t: TestContext, given: Given): Sources {
  const cwd = mkdtempSync(path.join(os.tmpdir(), 'sluice-config-'))
  t.after(() => rmSync(cwd, { recursive: true }))
  if (given.yaml !== undefined) writeFileSync(path.join(cwd, 'sluice.yaml'), given.yaml)
  return {
    flags: given.flags ?? {}, env: given.env ?? {}, cwd, machine: MACHINE,
    ...(given.configFile === undefined ? {} : { configFile: given.configFile }),
  }
}

function load(t: TestContext, given: Given): LoadedConfig {
  const outcome = loadConfig(sourcesOf(t, given))
  assert.ok(outcome.ok, outcome.ok ? '' : formatProblems(outcome.problems))
  return outcome.value
}

function refusals(t: TestContext, given: Given): readonly Problem[] {
  const outcome = loadConfig(sourcesOf(t, given))
  assert.equal(outcome.ok, false, 'a mistake was accepted')
  return outcome.ok ? [] : outcome.problems
}

const shown = (problems: readonly Problem[]): string => formatProblems(problems)

describe('sources', () => {
  it('starts with defaults that fit the machine', (t) => {
    const { config, origins, file } = load(t, {})
    assert.equal(config.host, '127.0.0.1')
    assert.equal(config.port, 4000)
    assert.equal(config.shards, 7)
    assert.equal(config.memoryBytes, 512 * MIB)
    assert.equal(config.defaultRps, 2)
    assert.equal(config.defaultMaxConcurrent, 100)
    assert.equal(config.defaultAccountQueue, false)
    assert.equal(file, undefined)
    assert.ok(Object.values(origins).every((origin) => origin === 'default'))
  })

  it('takes every default as a valid value, in the help text\'s spelling too', (t) => {
    const { config } = load(t, {})
    for (const [name, setting] of SETTING_ENTRIES) {
      if (setting.kind.isPath === true) continue // Shown as "none", which is no path.
      const text = setting.kind.format(config[name])
      const parsed = setting.kind.schema.safeParse(
        setting.kind.argument === '<map>' ? JSON.parse(text) : text)
      assert.ok(parsed.success, `${name}: ${text}`)
    }
  })

  it('lets flags win over environment over file over default', (t) => {
    const yaml = 'port: 1\ngrace: 1s\nshards: 2\ndefaults: {rps: 5}\n'
    const env = { SLUICE_PORT: '2', SLUICE_GRACE: '2s' }
    const { config, origins, file } = load(t, { yaml, env, flags: { port: '3' } })
    assert.deepEqual([config.port, origins.port], [3, 'flag --port'])
    assert.deepEqual([config.graceMs, origins.graceMs], [2000, 'env SLUICE_GRACE'])
    assert.deepEqual([config.shards, origins.shards], [2, 'file sluice.yaml:shards'])
    assert.deepEqual([config.defaultRps, origins.defaultRps], [5, 'file sluice.yaml:defaults.rps'])
    assert.equal(origins.host, 'default')
    assert.equal(file, 'sluice.yaml')
  })

  it('gives every setting a flag, a variable and a key of its own', () => {
    for (const part of ['flag', 'env', 'key'] as const) {
      const names = SETTING_ENTRIES.map(([, setting]) => setting[part])
      assert.equal(new Set(names).size, names.length, part)
    }
  })

  it('reads the file that is named, by flag before environment', (t) => {
    const sources = sourcesOf(t, { env: { SLUICE_CONFIG: 'b.yaml' } })
    writeFileSync(path.join(sources.cwd, 'a.yaml'), 'port: 11')
    writeFileSync(path.join(sources.cwd, 'b.yaml'), 'port: 12')
    const byEnv = loadConfig(sources)
    const byFlag = loadConfig({ ...sources, configFile: 'a.yaml' })
    assert.equal(byEnv.ok && byEnv.value.config.port, 12)
    assert.equal(byFlag.ok && byFlag.value.config.port, 11)
    assert.equal(byFlag.ok && byFlag.value.origins.port, 'file a.yaml:port')
  })

  it('expands ~ in every path, and takes others from beside the file', (t) => {
    const sources = sourcesOf(t, { env: { HOME: '/home/ann' } })
    const file = path.join(sources.cwd, 'sub.yaml')
    writeFileSync(file, 'data: ~/jobs\nca_file: ca.pem\ncontrol: ~/c.sock')
    const loaded = loadConfig({ ...sources, configFile: file, flags: { control: '~' } })
    assert.ok(loaded.ok)
    const { caFile, control, data } = loaded.value.config
    assert.deepEqual([data, caFile, control],
      ['/home/ann/jobs', path.join(sources.cwd, 'ca.pem'), '/home/ann'])
  })

  it('leaves SLUICE_SERVER to the commands of a client', (t) => {
    load(t, { env: { SLUICE_SERVER: 'http://127.0.0.1:4100' } })
    assert.match(shown(refusals(t, { env: { SLUICE_SERVR: 'x' } })), /SLUICE_SERVR/)
  })

  it('takes empty variables as unset, and an empty file as empty', (t) => {
    const { config, file } = load(t, { env: { SLUICE_PORT: '', SLUICE_CONFIG: '' }, yaml: '' })
    assert.equal(config.port, 4000)
    assert.equal(file, 'sluice.yaml')
  })

  it('is not misled by what Kubernetes sets for a Service that is named sluice', (t) => {
    const { config } = load(t, {
      env: {
        SLUICE_PORT: 'tcp://10.0.0.1:4000', SLUICE_SERVICE_HOST: '10.0.0.1',
        SLUICE_SERVICE_PORT: '4000', SLUICE_SERVICE_PORT_HTTP: '4000',
        SLUICE_PORT_4000_TCP: 'tcp://10.0.0.1:4000', SLUICE_PORT_4000_TCP_PROTO: 'tcp',
        SLUICE_PORT_4000_TCP_PORT: '4000', SLUICE_PORT_4000_TCP_ADDR: '10.0.0.1',
      },
    })
    assert.equal(config.port, 4000)
  })
})

describe('mistakes', () => {
  const cases: readonly (readonly [name: string, given: Given, expected: RegExp])[] = [
    ['a bad flag', { flags: { port: '99999' } },
      /--port \(flag\): got "99999", expected a whole number from 0 to 65535/],
    ['a bad variable', { env: { SLUICE_GRACE: '30' } },
      /SLUICE_GRACE \(environment\): got "30", expected a duration such as/],
    ['a bad value in the file', { yaml: '# first\nshards: 0.5\n' },
      /shards \(file sluice.yaml:2\): got 0.5, expected a whole number from 1 to 64/],
    ['a number without a unit', { yaml: 'grace: 30' }, /grace .*got 30, expected a duration/],
    ['a key without a value', { yaml: 'port:' }, /port .*got nothing, expected/],
    ['a map for a number', { yaml: 'port: {a: 1}' }, /port .*got {"a":1}, expected/],
    ['a rate below the lowest', { flags: { defaultRps: '0.4' } },
      /--default-rps .*expected a number from 0.5 to 1000000/],
    ['a rate beyond reason', { yaml: 'defaults: {rps: .inf}' }, /defaults.rps .*expected a number/],
    ['an unknown key', { yaml: 'a: 1\nprot: 5' },
      /prot \(file sluice.yaml:2\): not a setting; did you mean port\?/],
    ['an unknown key in a group', { yaml: 'defaults:\n  rsp: 5' },
      /defaults.rsp \(file sluice.yaml:2\): not a setting; did you mean defaults.rps\?/],
    ['a dotted key', { yaml: 'defaults.rps: 5' }, /defaults.rps .*not a setting/],
    ['a group that is no map', { yaml: 'defaults: 5' }, /defaults .*got 5, expected a map/],
    ['an unknown variable', { env: { SLUICE_PROT: '1' } },
      /SLUICE_PROT \(environment\): not a setting; did you mean SLUICE_PORT\?/],
    ['a key twice', { yaml: 'port: 1\nport: 2' }, /file sluice.yaml:2: .*unique/],
    ['broken YAML', { yaml: 'port: [1' }, /file sluice.yaml:\d/],
    ['a file that is a list', { yaml: '- 1' }, /got \[1\], expected a map of settings/],
    ['two documents', { yaml: 'port: 1\n---\nport: 2' }, /file sluice.yaml:/],
    ['a file that is not there', { configFile: 'none.yaml' },
      /--config \(flag\): got "none.yaml", expected a file that can be read/],
    ['a file that is a folder', { env: { SLUICE_CONFIG: '.' } }, /SLUICE_CONFIG \(environment\)/],
    ['a level that is none', { flags: { logLevel: 'loud' } }, /one of trace, debug, info/],
    ['a switch that is none', { yaml: 'touch: maybe' }, /touch .*got "maybe", expected on or off/],
    ['a host with a blank', { flags: { host: 'a b' } }, /--host .*expected a host name/],
    ['a name server by name', { flags: { dnsServers: 'banana' } },
      /--dns-servers \(flag\): got "banana", expected up to 3 addresses/],
    ...['10.0.0.0/33', '10.0.0/8', 'fd00::/129', '10.0.0.1/', '10.0.0.0/8/8', 'a b', '*', 'a.*',
      'http://a.test', '1.2.3', 'a.test:80'].flatMap((entry) => [
      [`an egress of ${entry}`, { flags: { egressAllow: `10.0.0.0/8,${entry}` } },
        /--egress-allow \(flag\): got .*expected up to 1024 of 10.0.0.0\/8/],
      [`an egress of ${entry} in a file`, { yaml: `egress: {deny: ["${entry}"]}` },
        /egress.deny.* \(file sluice.yaml:1\): got .*expected up to 1024 of 10.0.0.0\/8/],
    ] as const),
    ['a host in brackets', { flags: { host: '[::1]' } }, /--host .*without brackets, such as ::1/],
    ['a host with a port', { flags: { host: '127.0.0.1:80' } }, /--host .*without a port.*--port/],
    ['an upstream\'s bad rate', { yaml: 'upstreams:\n  a.example:\n    rps: 0.1' },
      /upstreams.a.example.rps \(file sluice.yaml:3\): got 0.1, expected a number/],
    ['an upstream\'s unknown key', { yaml: 'upstreams: {a.example: {rsp: 1}}' },
      /upstreams.a.example.rsp .*unknown key/],
    ['an upstream that is a URL', { yaml: 'upstreams: {"https://a.example/": {rps: 1}}' },
      /got "https:\/\/a.example\/", expected a host or host:port/],
    ['an upstream twice', { yaml: 'upstreams: {a.example: {rps: 1}, A.example: {rps: 2}}' },
      /each host once; a.example is there twice/],
    ['a host in two spellings', { yaml: 'upstreams: {localhost.: {rps: 1}, localhost: {rps: 2}}' },
      /localhost is there twice/],
    ['a receiver with account queues', { yaml: 'webhooks: {receivers: {a: {account_queue: on}}}' },
      /webhooks.receivers.a.account_queue .*unknown key/],
    ['a flag\'s name for a key', { yaml: 'default_rps: 5' }, /did you mean defaults.rps\?/],
    ['a key out of its group', { yaml: 'timeout_ms: 5' }, /did you mean defaults.timeout_ms\?/],
    ['a key in the wrong group', { yaml: 'defaults: {grace: 5s}' },
      /defaults.grace .*did you mean grace\?/],
    ['a key far from those of its group', { yaml: 'defaults: {connection: 5}' },
      /defaults.connection .*did you mean connections\?/],
    ['a flag\'s name in a group', { yaml: 'defaults: {default_timeout: 5s}' },
      /did you mean defaults.timeout_ms\?/],
    ['a key like none', { yaml: 'defaults: {xyzzy: 5}' }, /defaults.xyzzy [^;]*not a setting\n/],
    ['a duration without a unit, by a flag', { flags: { defaultTimeoutMs: '30' } },
      /--default-timeout .*got "30", expected a duration such as/],
    ['one in quotes', { yaml: 'defaults: {timeout_ms: "30"}' },
      /timeout_ms .*got "30", expected a duration/],
    ['one that could be months', { flags: { completedTtlMs: '1M' } },
      /got "1M", expected a duration such as 500ms, 30s, 5m \(in lower case\)/],
    ['a line break', { env: { SLUICE_PORT: '4000\r' } },
      /SLUICE_PORT .*got "4000\\r", expected a whole number .*, without control characters/],
    ['a control character in a path', { yaml: 'data: "a\\u0000b"' },
      /data .*, without control characters/],
    ['one in a host', { flags: { control: 'a\u001bb' } }, /--control .*without control characters/],
    ['somebody else\'s home', { flags: { data: '~ann/x' } },
      /--data .*got "~ann\/x", expected .*with ~ only as the home folder/],
    ['a home that nobody knows', { configFile: '~/sluice.yaml' }, /--config .*with ~ only as the/],
    ['a map that is none', { flags: { upstreams: 'a: [' } }, /--upstreams .*expected a map/],
  ]
  for (const [name, given, expected] of cases) {
    it(`tells ${name}`, (t) => assert.match(shown(refusals(t, given)), expected))
  }

  it('lists everything that is wrong, values that are overruled included', (t) => {
    const problems = refusals(t, {
      yaml: 'port: x\nfoo: 1\n', env: { SLUICE_PORT: 'y', SLUICE_FOO: '1' }, flags: { port: '3' },
    })
    assert.deepEqual(problems.map(({ key }) => key), ['SLUICE_FOO', 'foo', 'port', 'SLUICE_PORT'])
    assert.match(shown(problems), /^sluice: 4 problems in the configuration\n/)
  })

  it('guesses only what is near', () => {
    assert.equal(closest('prot', ['port', 'host']), 'port')
    assert.equal(closest('body-limt', ['body-limit', 'port']), 'body-limit')
    assert.equal(closest('xyzzy', ['port', 'host']), undefined)
  })
})

describe('a part of the settings', () => {
  const yaml = 'grace: 5\nnot_yet_known: 1\nport: 4100\ndata: [1]\n'

  it('is known whatever else a file says', (t) => {
    const env = { SLUICE_UNKNOWN: '1', SLUICE_SHARDS: 'x' }
    const part = loadPart(sourcesOf(t, { yaml, env, flags: { control: '/c.sock' } }),
      ['control', 'data', 'port'])
    assert.ok(part.ok)
    assert.deepEqual(part.value.config, { control: '/c.sock', data: 'sluice-data', port: 4100 })
    assert.deepEqual(part.value.passedOver.map(({ key }) => key), ['data'])
    for (const bad of ['port: [1', '- 1']) {
      const unread = loadPart(sourcesOf(t, { yaml: bad }), ['port'])
      assert.ok(unread.ok && unread.value.passedOver.length > 0, bad)
      assert.equal(unread.value.config.port, 4000)
    }
  })

  it('is refused for what was typed', (t) => {
    assert.equal(loadPart(sourcesOf(t, { yaml, flags: { port: 'x' } }), ['port']).ok, false)
    assert.equal(loadPart(sourcesOf(t, { configFile: 'none.yaml' }), ['port']).ok, false)
  })
})

describe('upstream tables', () => {
  const yaml = `
defaults: {rps: 3, max_concurrent: 7, account_queue: on, timeout_ms: 5s}
upstreams:
  API.example.com: {rps: 50}
  api.example.com:8443: {max_concurrent: 2, account_queue_by_caller: on}
  other.example.: {account_queue_by_caller: on, rps: 8}
  0.0.0.0:81: {rps: 6}
  "[::1]:80": {timeout_ms: 1000}
webhooks:
  rps: 9
  receivers:
    hooks.example.com: {timeout_ms: 250}
`

  it('finds the most particular entry and fills it from the defaults', (t) => {
    const settingsOf = upstreamResolver(load(t, { yaml }).config)
    assert.deepEqual(settingsOf('https://api.example.com', 'upstream'),
      { pacePerSecond: 50, concurrentMax: 7, accountQueues: true, timeoutMs: 5000 })
    assert.deepEqual(settingsOf('https://api.example.com:8443', 'upstream'),
      { pacePerSecond: 50, concurrentMax: 2, accountQueues: true, timeoutMs: 5000 })
    assert.equal(settingsOf('http://[::1]', 'upstream').timeoutMs, 1000)
    assert.equal(settingsOf('https://[::1]', 'upstream').timeoutMs, 5000)
    assert.equal(settingsOf('http://constructor', 'upstream').pacePerSecond, 3)
  })

  it('finds a host under every spelling of it', (t) => {
    const settingsOf = upstreamResolver(load(t, { yaml }).config)
    assert.equal(settingsOf('http://other.example', 'upstream').pacePerSecond, 8)
    assert.equal(settingsOf('http://127.0.0.1:81', 'upstream').pacePerSecond, 6)
  })

  it('lets callers switch account queues on where it says so, else nowhere', (t) => {
    const mayAskAccountQueue = queueSwitchByCaller(load(t, { yaml }).config)
    assert.equal(mayAskAccountQueue('https://api.example.com'), false)
    assert.equal(mayAskAccountQueue('https://api.example.com:8443'), true)
    assert.equal(mayAskAccountQueue('http://other.example:99'), true)
    const all = queueSwitchByCaller(load(t, {
      yaml: 'upstreams: {a: {account_queue_by_caller: off}}',
      flags: { defaultAccountQueueByCaller: 'on' },
    }).config)
    assert.equal(all('http://a'), false)
    assert.equal(all('http://b'), true)
  })

  it('keeps receivers apart from upstreams', (t) => {
    const settingsOf = upstreamResolver(load(t, { yaml }).config)
    assert.deepEqual(settingsOf('https://hooks.example.com', 'receiver'),
      { pacePerSecond: 9, concurrentMax: 128, accountQueues: false, timeoutMs: 250 })
    assert.equal(settingsOf('https://api.example.com', 'receiver').pacePerSecond, 9)
    assert.equal(settingsOf('https://hooks.example.com', 'upstream').pacePerSecond, 3)
  })

  it('takes a map from a flag or a variable, as YAML or JSON, in place of the file\'s', (t) => {
    const { config, origins } = load(t, {
      yaml, flags: { upstreams: '{a.example: {rps: 4}}' },
      env: { SLUICE_WEBHOOK_RECEIVERS: '{"b.example:8080":{"rps":6}}' },
    })
    assert.deepEqual({ ...config.upstreams }, { 'a.example': { rps: 4 } })
    assert.deepEqual({ ...config.webhookReceivers }, { 'b.example:8080': { rps: 6 } })
    assert.equal(origins.upstreams, 'flag --upstreams')
  })
})

describe('what is made of it', () => {
  it('lets the largest body limit fit into a segment', (t) => {
    const { config } = load(t, { flags: { bodyBytesMax: '7MiB', shards: '1', memoryBytes: '1g' } })
    assert.equal(config.bodyBytesMax, BODY_LIMIT_BYTES_MAX)
    const plan = planMemory(memorySettings(config))
    assert.ok(plan.ok && plan.limits.segmentBytes <= SEGMENT_BYTES_MAX)
  })

  it('hands the shards what they need', (t) => {
    const yaml = 'webhooks: {retry_after_max: 2m}'
    const flags = { completedTtlMs: '1m', connectTimeoutMs: '2.5s' }
    const { config } = load(t, { flags, yaml })
    const settings = shardSettings(config, 'pem')
    assert.equal(settings.completedTtlMs, 60_000)
    assert.equal(settings.webhookRetryAfterMsMax, 120_000)
    assert.equal(settings.extraCaPem, 'pem')
    assert.equal(settings.connectTimeoutMs, 2500)
    assert.match(settings.userAgent, /^sluice\/\d/)
  })

  it('tells the shards where requests may go, by whom the server can be reached', (t) => {
    const yaml = `egress: {allow: [10.0.0.0/8, "*.internal"], deny: ["fd00::/8"]}
upstreams: {"Up.example:8080": {rps: 1}}
webhooks: {receivers: {"[::1]": {rps: 1}}}`
    const { config } = load(t, { yaml, flags: { host: '0.0.0.0' } })
    assert.deepEqual(shardSettings(config, '').egress, {
      allow: ['10.0.0.0/8', '*.internal'], deny: ['fd00::/8'],
      named: ['up.example:8080', '[::1]'], isOpen: false, upstreamsOnly: false,
    })
    const hosts = { '127.0.0.1': true, '127.9.9.9': true, localhost: true, '::1': true,
      '0.0.0.0': false, '::': false, '10.0.0.1': false, 'example.com': false,
      '127.0.0.1.example.com': false }
    for (const [host, isOpen] of Object.entries(hosts)) {
      const settings = shardSettings(load(t, { flags: { host } }).config, '')
      assert.equal(settings.egress?.isOpen, isOpen, host)
    }
  })

  it('lets a reload change what is not laid down for the process', (t) => {
    const running = load(t, {}).config
    const changed = load(t, { env: { SLUICE_WEBHOOK_RETRY_AFTER_MAX: '0s', SLUICE_SHARDS: '63' } })
    assert.equal(changed.config.webhookRetryAfterMsMax, 0)
    assert.deepEqual(changesThatNeedRestart(running, changed).map(({ key }) => key), ['shards'])
  })

  it('reads certificates, from beside the file that names them', (t) => {
    const sources = sourcesOf(t, { configFile: 'sub.yaml' })
    writeFileSync(path.join(sources.cwd, 'sub.yaml'), 'ca_file: ca.pem')
    writeFileSync(path.join(sources.cwd, 'ca.pem'), '-----BEGIN CERTIFICATE-----\n')
    const loaded = loadConfig({ ...sources, configFile: path.join(sources.cwd, 'sub.yaml') })
    assert.ok(loaded.ok)
    const pem = readExtraCa(loaded.value.config, loaded.value.origins.caFile, '/')
    assert.ok(pem.ok && pem.value.startsWith('-----BEGIN'))
    for (const bad of ['missing.pem', 'sub.yaml']) {
      const config = { ...loaded.value.config, caFile: path.join(sources.cwd, bad) }
      const refused = readExtraCa(config, 'flag --ca-file', '/')
      assert.ok(!refused.ok && /ca_file \(flag --ca-file\)/.test(shown(refused.problems)), bad)
    }
  })
})

describe('the command line', () => {
  async function run(t: TestContext, ...args: string[]):
    Promise<{ code: number; stdout: string; stderr: string }> {
    let stdout = ''
    let stderr = ''
    const code = await runProgram(args, {
      env: {}, cwd: sourcesOf(t, { yaml: 'shards: 1' }).cwd,
      stdout: (text) => {
        stdout += text
      },
      stderr: (text) => {
        stderr += text
      },
    })
    return { code, stdout, stderr }
  }

  it('shows its help when there is no command', async (t) => {
    const { code, stdout } = await run(t)
    assert.equal(code, 0)
    assert.match(stdout, /Usage: sluice/)
  })

  it('names every flag and variable in the help of serve', async (t) => {
    const { code, stdout } = await run(t, 'serve', '--help')
    assert.equal(code, 0)
    for (const [, setting] of SETTING_ENTRIES) {
      assert.ok(stdout.includes(`--${setting.flag}`), setting.flag)
      assert.ok(stdout.includes(setting.env), setting.env)
    }
  })

  it('prints the configuration with its sources, as YAML, and as JSON', async (t) => {
    const yaml = await run(t, 'config', '--grace', '5m', '--touch')
    assert.match(yaml.stdout, /^grace: 5m # flag --grace$/m)
    assert.match(yaml.stdout, /^touch: true # flag --touch$/m)
    assert.match(yaml.stdout, /^shards: 1 # file sluice.yaml:shards$/m)
    const { stdout } = await run(t, 'config', '--json', '--grace', '5m', '--no-touch')
    const json = JSON.parse(stdout) as Record<string, unknown>
    assert.equal(json['grace'], '5m')
    assert.equal(json['touch'], false)
  })

  it('prints what gives the same values when it is fed back, wherever it lies', (t) => {
    const loaded = load(t, {
      yaml: 'webhooks: {receivers: {hooks.example: {timeout_ms: 250}}}\nlog_level: silent\n',
      env: { HOME: '/home/ann' },
      flags: {
        memoryBytes: '123456789', graceMs: '30m1ms', journal: 'off', touch: 'on',
        data: '~/x: #y "z"', caFile: 'relative.pem', dnsServers: '10.0.0.2,[fd00::2]:53',
        egressAllow: '10.0.0.0/8,*.internal', egressDeny: 'fd00::1',
        defaultRps: '0.5', defaultTimeoutMs: '1m30s', journalIntervalMs: '15ms',
        upstreams: '{"[::1]:80": {rps: 7, account_queue: on}, yes: {timeout_ms: 5}}',
      },
    })
    for (const text of [configYaml(loaded), configJson(loaded)]) {
      const again = load(t, { yaml: text })
      for (const [name] of SETTING_ENTRIES) {
        const caFile = path.join(loaded.sources.cwd, 'relative.pem')
        const expected = name === 'caFile' ? caFile : loaded.config[name]
        assert.deepEqual({ ...again.config[name] as object }, { ...expected as object }, name)
        if (typeof expected !== 'object') assert.equal(again.config[name], expected, name)
      }
    }
    const plain = load(t, {})
    const again = load(t, { yaml: configYaml(plain) }).config
    for (const [name] of SETTING_ENTRIES) {
      const data = path.join(plain.sources.cwd, 'sluice-data')
      const expected = name === 'data' ? data : plain.config[name]
      if (typeof expected !== 'object') assert.equal(again[name], expected, name)
      else assert.equal(Object.keys(again[name]).length, 0, `${name} is empty`)
    }
  })

  it('exits with 2 on wrong usage and wrong values', async (t) => {
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [['config', '--prot', '1'], /unknown option '--prot'[\s\S]*--port/],
      [['frob'], /unknown command 'frob'/],
      [['config', 'extra'], /too many arguments/],
      [['config', '--port', 'x'], /--port \(flag\): got "x"/],
      [['serve', '--port', 'x'], /--port \(flag\): got "x"/],
    ]
    for (const [args, expected] of wrong) {
      const { code, stderr } = await run(t, ...args)
      assert.equal(code, 2, args.join(' '))
      assert.match(stderr, expected)
    }
  })
})

describe('the log', () => {
  it('censors what sounds secret, at any depth', () => {
    const redacted = JSON.stringify(redact({
      upstream: 'https://a', headers: { Authorization: 'Bearer s3cret', 'x-api-key': 's3cret' },
      list: [{ setCookie: 's3cret' }], deep: { a: { b: { c: { d: { e: 's3cret' } } } } },
    }))
    assert.doesNotMatch(redacted, /s3cret/)
    assert.match(redacted, /https:\/\/a/)
  })

  it('leaves errors and plain values as they are', () => {
    const err = new Error('x')
    assert.deepEqual(redact({ err, count: 1, none: null }), { err, count: 1, none: null })
  })
})
