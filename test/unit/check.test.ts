// The rules of scripts/check: each is shown to fail on a few lines that break it and to pass on
// their neighbours; then all of them run over the project itself.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, it } from 'node:test'
import { deadExports } from '../../scripts/rules/exports.ts'
import { importsOf } from '../../scripts/rules/imports.ts'
import { checkProject, checkSource, formatFinding } from '../../scripts/rules/project.ts'
import { readSource } from '../../scripts/rules/source.ts'
import { lockFile, stalePolicy, topLevel } from '../../scripts/rules/tree.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const SHARD_HEADER = '// What.\n// Thread: any. Memory: none.\n'

/** The rules that a file with these lines breaks, with their line numbers. */
function broken(file: string, lines: string, header = '// What it is for.\n'): string[] {
  const shard = file.startsWith('shards/') ? SHARD_HEADER : header
  return checkSource(readSource(file, shard + lines)).map(({ line, rule }) => `${line} ${rule}`)
}

describe('views of a source', () => {
  it('tells code from comments, strings, templates and regular expressions', () => {
    const text = [
      'const a = "// no comment" // Date.now()',
      'const b = `x ${c("}") + `inner ${d}`} /* text */` /* gone',
      'gone too */ + e / f / g',
      'const h = /[/"]\\/"/.test(i) ? "it\\"s" : j',
    ].join('\n')
    const { code, uncommented, comments } = readSource('src/a.ts', text)
    assert.equal(code.length, text.length)
    assert.doesNotMatch(code, /Date|gone|text|inner|no comment|it/)
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']) {
      assert.match(code, new RegExp(`\\b${name}\\b`), name)
    }
    assert.match(uncommented, /"\/\/ no comment"/)
    assert.doesNotMatch(uncommented, /gone/)
    assert.match(comments, /Date\.now\(\)/)
    assert.doesNotMatch(comments, /no comment/)
  })
})

describe('rules about one file', () => {
  it('bounds the width of lines', () => {
    assert.deepEqual(broken('src/a.ts', `// ${'x'.repeat(98)}`), ['2 line-width'])
    assert.deepEqual(broken('src/a.ts', `// ${'→'.repeat(97)}`), [])
    assert.deepEqual(broken('src/a.ts', 'const a = 1 \n\tconst b = 2'), ['2 line-width',
      '3 line-width'])
  })

  it('wants a header, and a thread and a memory in shards', () => {
    assert.deepEqual(broken('src/a.ts', 'const a = 1', ''), ['1 header'])
    assert.deepEqual(broken('scripts/a.ts', 'const a = 1', '#!/usr/bin/env node\n// What.\n'), [])
    const bare = checkSource(readSource('shards/a.ts', '// What.\nconst a = 1'))
    assert.deepEqual(bare.map(({ rule }) => rule), ['header', 'header'])
    assert.deepEqual(broken('shards/a.ts', 'const a = 1'), [])
  })

  it('wants names that say something', () => {
    assert.deepEqual(broken('src/string-utils.ts', ''), ['1 file-name'])
    assert.deepEqual(broken('test/support/helper.ts', ''), ['1 file-name'])
    assert.deepEqual(broken('src/jobQueue.ts', ''), ['1 file-name'])
    assert.deepEqual(broken('test/unit/job-queue.test.ts', ''), [])
    assert.deepEqual(broken('src/commonwealth.ts', ''), [])
  })

  it('finds leftover notes in comments only', () => {
    for (const word of ['TODO', 'FIXME', 'XXX']) {
      assert.deepEqual(broken('src/a.ts', `// ${word}: later`), ['2 leftover-note'])
      assert.deepEqual(broken('src/a.ts', `const a = '${word}'`), [])
    }
  })

  it('bans Math.random everywhere', () => {
    assert.deepEqual(broken('test/a.ts', 'const a = Math.random()'), ['2 randomness'])
    assert.deepEqual(broken('src/a.ts', '// Math.random is banned'), [])
  })

  it('keeps time in the clock', () => {
    const calls = ['Date.now()', 'new Date()', 'performance.now()', 'process.hrtime.bigint()',
      'setTimeout(f, 1)', 'setInterval(f, 1)', 'AbortSignal.timeout(1)']
    for (const call of calls) {
      assert.deepEqual(broken('src/a.ts', `const a = ${call}`), ['2 time'], call)
      assert.deepEqual(broken('shards/clock.ts', `const a = ${call}`), [], call)
      assert.deepEqual(broken('test/unit/a.test.ts', `const a = ${call}`), [], call)
    }
    assert.deepEqual(broken('src/a.ts', "import { setTimeout } from 'node:timers/promises'"),
      ['2 time'])
    assert.deepEqual(broken('src/a.ts', 'const a = new Date(0)'), [])
  })

  it('keeps errors in their table', () => {
    assert.deepEqual(broken('src/a.ts', 'throw error'), ['2 throw'])
    assert.deepEqual(broken('shards/a.ts', "const a = new RangeError('x')"), ['3 throw'])
    assert.deepEqual(broken('src/errors.ts', "throw new Error('x')"), [])
    assert.deepEqual(broken('test/a.ts', "throw new Error('x')"), [])
  })
})

describe('rules about imports', () => {
  const breaks = (file: string, line: string): boolean =>
    broken(file, line).some((finding) => finding.endsWith(' import'))

  it('reads every kind of import', () => {
    const source = readSource('src/a/b.ts', [
      "import type { A } from './a.ts'", "import { type B, type C } from '../b.ts'",
      "import d, { type E, f as g } from 'pkg'", "import * as h from 'node:fs'", "import './i.ts'",
      'import {', '  j,', "} from './j.ts'", "export { k } from './k.ts'",
      "const l = await import('./l.ts')", "type M = import('m').M", "// import 'n'",
      "const o = \"import p from 'p'\"",
    ].join('\n'))
    const seen = importsOf(source).map(({ target, typeOnly, line }) =>
      `${line} ${target}${typeOnly ? ' type' : ''}`)
    assert.deepEqual(seen.sort(), [
      '1 src/a/a.ts type', '10 src/a/l.ts', '11 m type', '2 src/b.ts type', '3 pkg', '4 node:fs',
      '5 src/a/i.ts', '6 src/a/j.ts', '9 src/a/k.ts',
    ].sort())
  })

  it('keeps the directions between folders', () => {
    assert.ok(breaks('shards/a.ts', "import { a } from '../src/a.ts'"))
    assert.ok(breaks('shards/a.ts', "import type { A } from '../src/a.ts'"))
    assert.ok(breaks('src/a.ts', "import { a } from '../shards/lanes.ts'"))
    assert.ok(breaks('src/http/a.ts', "import { a } from '../../shards/pacer.ts'"))
    assert.ok(breaks('src/a.ts', "import { a } from '../test/a.ts'"))
    assert.ok(!breaks('src/a.ts', "import { a } from '../shards/ring.ts'"))
    assert.ok(!breaks('test/a.ts', "import { a } from '../shards/lanes.ts'"))
  })

  it('gives packages one home', () => {
    const homes: readonly (readonly [module: string, home: string])[] = [
      ['uWebSockets.js', 'src/http/a.ts'], ['undici', 'shards/undici-transport.ts'],
      ['msgpackr', 'shards/codec.ts'], ['piscina', 'src/shard-pool.ts'],
      ['node:worker_threads', 'shards/worker.ts'], ['pino', 'src/log.ts'],
      ['commander', 'src/cli/a.ts'], ['zod', 'src/config/a.ts'],
    ]
    for (const [module, home] of homes) {
      assert.ok(!breaks(home, `import { a } from '${module}'`), `${home} ${module}`)
      assert.ok(breaks('src/a.ts', `import { a } from '${module}'`), module)
      assert.ok(breaks('shards/a.ts', `const a = await import('${module}')`), module)
      assert.ok(!breaks('shards/a.ts', `import type { A } from '${module}'`), module)
    }
  })

  it('keeps pure files pure', () => {
    assert.ok(breaks('shards/pace.ts', "import { a } from 'node:fs'"))
    assert.ok(breaks('shards/wheel.ts', "import { monotonicUs } from './clock.ts'"))
    assert.ok(!breaks('shards/wheel.ts', "import type { Clock } from './clock.ts'"))
    assert.ok(!breaks('shards/pace.ts', "import { a } from './units.ts'"))
  })

  it('wants full names', () => {
    assert.ok(breaks('src/a.ts', "import { a } from './b'"))
    assert.ok(breaks('src/a.ts', "import fs from 'fs'"))
  })
})

describe('rules about the whole', () => {
  it('finds exports that nobody imports', () => {
    const dead = deadExports([
      readSource('src/a.ts', [
        'export const used = 1', 'export function unused() {}', 'export class Whole {}',
        'export interface Own {}', 'const own: Own = {}', 'export type Nowhere = 1',
        'export const FAMILY_A = 1, b = FAMILY_A', 'export { own as listed }',
        'export async function member() {}', 'export default used',
      ].join('\n')),
      readSource('src/b.ts', "import { used } from './a.ts'\nexport const x = used"),
      readSource('test/c.ts', "import * as a from '../src/a.ts'\na.member()"),
      readSource('test/d.ts', "const b = await import('../src/b.ts')"),
    ])
    assert.deepEqual(dead.map(({ path: file, message }) => `${file} ${message.split(';')[0]}`), [
      'src/a.ts nothing imports unused', 'src/a.ts nothing imports Whole',
      'src/a.ts nothing imports Nowhere', 'src/a.ts nothing imports listed',
      'src/a.ts nothing imports default',
    ])
  })

  it('knows what lies at the top', () => {
    assert.deepEqual(topLevel(['src', '.git', 'node_modules', 'notes.txt']).map((f) => f.path),
      ['notes.txt'])
  })

  it('finds a registry\'s name in the lock file', () => {
    assert.equal(lockFile('{\n"resolved": "https://registry.example/a.tgz"\n}')[0]?.line, 2)
    assert.deepEqual(lockFile('{"integrity": "sha512-x", "url": "https://example.com/fund"}'), [])
  })

  it('finds exceptions for files that are gone', () => {
    assert.ok(stalePolicy(new Set()).length > 0)
  })
})

describe('the linter', () => {
  it('fails on each rule that is left to it', (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'sluice-lint-'))
    t.after(() => rmSync(folder, { recursive: true }))
    mkdirSync(path.join(folder, 'src'))
    const files: Record<string, string> = {
      'any.ts': 'export const a = (b: any): unknown => b\n',
      'non-null.ts': 'export const a = (b: string | null): string => b!\n',
      'long.ts': 'export const a = 1\n'.padEnd(19 + 500, '\n'),
      'long-function.ts': `export function a(): void {\n${'  a()\n'.repeat(70)}}\n`,
      'cycle-a.ts': "import { b } from './cycle-b.ts'\nexport const a = (): number => b()\n",
      'cycle-b.ts': "import { a } from './cycle-a.ts'\nexport const b = (): number => a()\n",
      'unused.ts': 'const a = 1\nexport const b = 2\n',
    }
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(path.join(folder, 'src', name), text)
    }
    const { stdout } = spawnSync(process.execPath, [
      path.join(ROOT, 'node_modules/.bin/oxlint'), '-c', path.join(ROOT, '.oxlintrc.json'),
      '-f', 'unix', '.',
    ], { cwd: folder, encoding: 'utf8' })
    const expected = [
      'any.ts .*no-explicit-any', 'non-null.ts .*no-non-null-assertion', 'long.ts .*max-lines',
      'long-function.ts .*max-lines-per-function', 'cycle-a.ts .*no-cycle',
      'unused.ts .*no-unused-vars',
    ]
    for (const pattern of expected) assert.match(stdout, new RegExp(pattern.replace(' ', ':')))
  })
})

describe('the project', () => {
  it('keeps its own rules', () => {
    assert.deepEqual(checkProject(ROOT).map(formatFinding), [])
  })
})
