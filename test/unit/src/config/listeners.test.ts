// Which listeners follow from the settings, and what is refused.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { listenKind } from '../../../../src/config/listen-kind.ts'
import {
  isLoopback, listenersOf, showListeners,
} from '../../../../src/config/listeners.ts'
import { loadConfig } from '../../../../src/config/load.ts'
import { prepare } from '../../../../src/config/prepare.ts'

const shown = (host: string, port: number, operateListen: string): string =>
  showListeners(listenersOf({ host, port, operateListen }))

it('has a listener for operators on the loopback, at the next port', () => {
  const next = '127.0.0.1:4000, and for operators on 127.0.0.1:4001'
  assert.equal(shown('127.0.0.1', 4000, 'auto'), next)
  assert.equal(shown('0.0.0.0', 4000, 'auto'), next.replace('127.0.0.1', '0.0.0.0'))
  assert.equal(shown('::1', 0, 'auto'), '[::1]:0, and for operators on 127.0.0.1:0')
  assert.equal(shown('::1', 1, '[::1]:0'), '[::1]:1, and for operators on [::1]:0')
  assert.equal(shown('h', 1, 'localhost:65535'), 'h:1, and for operators on localhost:65535')
  assert.equal(shown('127.0.0.1', 4000, 'off'), '127.0.0.1:4000')
})

it('refuses what is no address with a port', () => {
  const texts = ['', '4001', ':4001', '127.0.0.1', '127.0.0.1:', '127.0.0.1:65536', '::1:4001',
    '[::1]', '[::1]4001', '[127.0.0.1]:1', '[x]:1', 'http://h:1', 'h:1/', 'h:1 ', 'a b:1', 'none',
    'h:-1', 'h:1e3', '127.0.0.1:4001\n']
  for (const text of texts) assert.equal(listenKind.schema.safeParse(text).success, false, text)
  for (const text of ['auto', 'off', 'h:1', '[::]:0', '0.0.0.0:65535']) {
    assert.equal(listenKind.schema.safeParse(text).success, true, text)
  }
})

it('refuses two listeners at one address, and a port beyond the last one', () => {
  const problemOf = (host: string, port: string, operateListen?: string): string | undefined => {
    const loaded = loadConfig({
      flags: { host, port, ...operateListen !== undefined && { operateListen } }, env: {},
      cwd: '/', machine: { cores: 1, memoryBytes: 2 ** 30, descriptors: 20_000 },
    })
    assert.ok(loaded.ok)
    const prepared = prepare(loaded.value, '/')
    return prepared.ok ? undefined : prepared.problems.map((each) => each.expected).join()
  }
  assert.equal(problemOf('127.0.0.1', '65535'), 'HOST:PORT or off, since no port follows 65535')
  const same = 'another port than that of the callers, or off'
  assert.equal(problemOf('127.0.0.1', '4000', '127.0.0.1:4000'), same)
  assert.equal(problemOf('0.0.0.0', '4000', '127.0.0.1:4000'), same)
  assert.equal(problemOf('10.0.0.1', '4000', '[::]:4000'), same)
  assert.equal(problemOf('10.0.0.1', '4000', '127.0.0.1:4000'), undefined)
  assert.equal(problemOf('127.0.0.1', '0', '127.0.0.1:0'), undefined)
  assert.equal(problemOf('127.0.0.1', '65535', 'off'), undefined)
})

it('knows which hosts only the machine itself can reach', () => {
  for (const host of ['localhost', '127.0.0.1', '127.8.8.8', '::1']) {
    assert.equal(isLoopback(host), true, host)
  }
  for (const host of ['0.0.0.0', '::', '127.example', '10.0.0.1', '']) {
    assert.equal(isLoopback(host), false, host)
  }
})
