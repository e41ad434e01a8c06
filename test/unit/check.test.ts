// The rules of scripts/check: each is shown to fail on a few lines that break it and to pass on
// their neighbours. scripts/test runs them over the project itself before any test.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { deadExports } from '../../scripts/rules/exports.ts'
import { importRules, looseFile } from '../../scripts/rules/imports.ts'
import { checkSource } from '../../scripts/rules/project.ts'
import { readSource } from '../../scripts/rules/source.ts'
import { lockFile, otherLanguage, stalePolicy, topLevel } from '../../scripts/rules/tree.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

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
      assert.deepEqual(broken('shards/base/clock.ts', `const a = ${call}`), [], call)
      assert.deepEqual(broken('test/unit/a.test.ts', `const a = ${call}`), [], call)
    }
    assert.deepEqual(broken('src/a.ts', "import { setTimeout } from 'node:timers/promises'"),
      ['2 time'])
    assert.deepEqual(broken('src/a.ts', 'const a = new Date(0)'), [])
  })

  it('keeps errors in their table', () => {
    assert.deepEqual(broken('src/a.ts', 'throw error'), ['2 throw'])
    assert.deepEqual(broken('shards/a.ts', "const a = new RangeError('x')"), ['3 throw'])
    assert.deepEqual(broken('src/base/errors.ts', "throw new Error('x')"), [])
    assert.deepEqual(broken('test/a.ts', "throw new Error('x')"), [])
  })
})

describe('rules about imports', () => {
  /** Files of a project; each that is imported is there, so that every import is found. */
  const OTHERS = [
    'shards/base/clock.ts', 'shards/base/units.ts', 'shards/memory/ring.ts', 'shards/pace/lanes.ts',
    'shards/shard/engine.ts', 'shards/store/segments.ts', 'src/base/log.ts', 'src/door/door.ts',
    'bench/load.ts', 'test/a.ts',
  ]

  /** What is found in a project of OTHERS and these files, by rule's text without its reason. */
  async function found(t: TestContext, files: Record<string, string>): Promise<string[]> {
    const folder = temporaryFolder(t)
    for (const top of ['src', 'shards', 'test', 'bench', 'scripts']) {
      mkdirSync(path.join(folder, top))
    }
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'))
    const all = { ...Object.fromEntries(OTHERS.map((name) => [name, 'export const a = 1\n'])),
      ...files }
    for (const [name, text] of Object.entries(all)) {
      mkdirSync(path.join(folder, path.dirname(name)), { recursive: true })
      writeFileSync(path.join(folder, name), text)
    }
    const findings = await importRules(folder, ['src', 'shards', 'test', 'bench', 'scripts'])
    return findings.map((finding) =>
      `${finding.path}:${finding.line} ${finding.message.split(':')[0]}`)
  }

  it('lets a room import itself and rooms before it, and names the edge', async (t) => {
    const up = (from: string, to: string): string => `${from}:2 ${from} → ${to}`
    const imports = (to: string, type = ''): string =>
      `// A file.\nimport ${type}{ a } from '${to}'\n`
    assert.deepEqual(await found(t, {
      'shards/memory/a.ts': imports('../pace/lanes.ts'),
      'shards/memory/b.ts': imports('../pace/lanes.ts', 'type '),
      'shards/memory/c.ts': "// A file.\nexport const d = await import('../pace/lanes.ts')\n",
      'shards/memory/d.ts': "// A file.\nexport { a } from '../pace/lanes.ts'\n",
      'shards/memory/fine.ts': imports('../base/units.ts') + imports('./ring.ts'),
      'shards/base/a.ts': imports('../../src/base/log.ts'),
      'src/config/a.ts': imports('../../shards/pace/lanes.ts'),
      'src/config/b.ts': imports('../door/door.ts'),
      'src/config/c.ts': imports('../../test/a.ts'),
      'src/config/fine.ts': imports('../base/log.ts') + imports('../../shards/memory/ring.ts'),
      'src/engine/fine.ts': imports('../../shards/shard/engine.ts'),
      'src/journal/fine.ts': imports('../../shards/store/segments.ts'),
      'src/cli/a.ts': imports('../../bench/load.ts'),
      'src/cli/bench.ts':
        imports('../../bench/load.ts') + imports('../../shards/pace/lanes.ts'),
      'src/main.ts': imports('./base/log.ts') + imports('../shards/base/units.ts'),
      'test/fine.ts': imports('../shards/pace/lanes.ts'),
    }).then((findings) => findings.sort()), [
      ...['a', 'b', 'c', 'd'].map((name) =>
        up(`shards/memory/${name}.ts`, 'shards/pace/lanes.ts')),
      up('shards/base/a.ts', 'src/base/log.ts'), up('src/cli/a.ts', 'bench/load.ts'),
      'src/cli/bench.ts:4 src/cli/bench.ts → shards/pace/lanes.ts',
      'src/main.ts:4 src/main.ts → shards/base/units.ts',
      up('src/config/a.ts', 'shards/pace/lanes.ts'), up('src/config/b.ts', 'src/door/door.ts'),
      up('src/config/c.ts', 'test/a.ts'),
    ].sort())
  })

  it('finds circles, those of types too', async (t) => {
    assert.deepEqual(await found(t, {
      'src/http/a.ts': "import type { B } from './b.ts'\nexport type A = B\n",
      'src/http/b.ts': "import type { A } from './a.ts'\nexport type B = A\n",
    }), ['src/http/a.ts:1 src/http/a.ts → src/http/b.ts → src/http/a.ts'])
  })

  it('finds what is not there', async (t) => {
    assert.deepEqual(await found(t, { 'src/http/a.ts': "import './gone.ts'\n" }),
      ['src/http/a.ts:1 src/http/a.ts → ./gone.ts'])
  })

  it('gives packages one home', async (t) => {
    const homes: readonly (readonly [module: string, home: string, elsewhere: string])[] = [
      ['uWebSockets.js', 'src/http/a', 'src/ws/a'],
      ['undici', 'shards/transport/undici-transport', 'shards/transport/a'],
      ['msgpackr', 'shards/wire/codec', 'shards/wire/a'],
      ['piscina', 'src/engine/shard-pool', 'src/engine/a'],
      ['node:worker_threads', 'shards/shard/worker', 'shards/shard/a'],
      ['lmdb', 'src/journal/store', 'src/journal/a'], ['pino', 'src/base/log', 'src/base/a'],
      ['commander', 'src/cli/a', 'src/start/a'], ['zod', 'src/config/a', 'src/job/a'],
    ]
    const files = homes.flatMap(([module, home, elsewhere]) => [
      [`${home}.ts`, `import a from '${module}'\n`],
      [`${elsewhere}.ts`, `const a = await import('${module}')\n`],
      [`${elsewhere}-types.ts`, `import type { A } from '${module}'\n`],
    ])
    const findings = await found(t, Object.fromEntries(files) as Record<string, string>)
    assert.deepEqual(findings.map((line) => line.split(':')[0]).sort(),
      homes.map(([, , elsewhere]) => `${elsewhere}.ts`).sort())
  })

  it('refuses a package that has no home', async (t) => {
    assert.deepEqual(await found(t, {
      'src/http/a.ts': '// A.\nimport { build } from "hdr-histogram-js"\n',
      'bench/a.ts': "import { build } from 'hdr-histogram-js'\n",
    }).then((lines) => lines.map((line) => line.split(' ')[0])), ['src/http/a.ts:2'])
  })

  it('keeps pure files pure', async (t) => {
    const findings = await found(t, {
      'shards/pace/pace.ts': "import { a } from 'node:fs'\n",
      'shards/memory/wheel.ts': "import { a } from '../base/clock.ts'\n",
      'shards/memory/share.ts': "import type { a } from '../base/clock.ts'\n",
      'shards/pace/gates.ts': "import { a } from '../base/units.ts'\n",
    })
    assert.deepEqual(findings.sort(), [
      'shards/memory/wheel.ts:1 shards/memory/wheel.ts → shards/base/clock.ts',
      'shards/pace/pace.ts:1 shards/pace/pace.ts → fs',
    ])
  })

  it('keeps what loads by a path in few files', () => {
    const lines = ['new URL(\'./a.ts\', import.meta.url)', 'createRequire(here)', 'import(name)',
      'process.getBuiltinModule(\'fs\')', 'module.require(\'fs\')', 'import(`./${name}.ts`)']
    for (const line of lines) {
      assert.deepEqual(broken('src/http/a.ts', `const a = ${line}`), ['2 loader'], line)
      assert.deepEqual(broken('test/a.ts', `const a = ${line}`), [], line)
    }
    assert.deepEqual(broken('src/engine/supervisor.ts', `const a = ${lines[0]}`), [])
    assert.deepEqual(broken('src/http/a.ts', 'const a = await import(\'./b.ts\')'), [])
    for (const word of ['oxlint-disable-next-line', '@ts-ignore',
      'oxlint-disable typescript/consistent-type-imports']) {
      assert.deepEqual(broken('src/http/a.ts', `// ${word}`), ['2 loader'], word)
    }
    assert.deepEqual(broken('src/http/a.ts', '// oxlint-disable-next-line no-control-regex'), [])
  })

  it('knows the product\'s language', () => {
    assert.deepEqual(otherLanguage(['src/a.mts', 'shards/b.js', 'src/c.ts', 'shards/d.cts',
      'bench/page.js', 'src/scan.wat']).map((finding) => finding.path),
    ['src/a.mts', 'shards/b.js'])
  })

  it('wants every file in a room', () => {
    for (const file of ['src/a.ts', 'shards/a.ts', 'src/odd/a.ts']) {
      assert.deepEqual(looseFile(file).map(({ rule }) => rule), ['loose-file'], file)
    }
    for (const file of ['src/main.ts', 'src/http/a.ts', 'shards/pace/a.ts', 'test/a.ts']) {
      assert.deepEqual(looseFile(file), [], file)
    }
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
      'type-of-import.ts': "export type A = import('./any.ts').A\n",
      'protocol.ts': "import fs from 'fs'\nexport const a = fs\n",
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
      'long-function.ts .*max-lines-per-function',
      'type-of-import.ts .*consistent-type-imports', 'protocol.ts .*prefer-node-protocol',
      'unused.ts .*no-unused-vars',
    ]
    for (const pattern of expected) assert.match(stdout, new RegExp(pattern.replace(' ', ':')))
  })
})
