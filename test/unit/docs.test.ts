// The README and docs/: small enough to read, no link or path that leads nowhere, tables that have
// every setting and every error code as the code has them, and the map of the rooms.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { importableFrom, type Room, SHARD_ROOMS, SRC_ROOMS } from '../../scripts/rules/rooms.ts'
import { ERRORS } from '../../src/base/errors.ts'
import { changesThatNeedRestart } from '../../src/config/live.ts'
import type { LoadedConfig } from '../../src/config/load.ts'
import { type Config, SETTING_ENTRIES, type Setting } from '../../src/config/settings.ts'
import { openScene } from '../support/door-scene.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const README_BYTES_MAX = 12 * 1024
const HOPS_MAX = 12
const PAGES = ['README.md', 'SECURITY.md', ...readdirSync(path.join(ROOT, 'docs'))
  .filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]

const read = (page: string): string => readFileSync(path.join(ROOT, page), 'utf8')

const BLOCK = /^```[\s\S]*?^```$/gm

/** Without blocks of code, in which nothing is a link or a heading. */
const prose = (text: string): string => text.replaceAll(BLOCK, '')

/** The parts of a text that follow its headings of the second level, by heading. */
const sectionsOf = (text: string): Map<string, string> =>
  new Map(text.split(/^## /m).slice(1).map((part) => {
    const end = part.indexOf('\n')
    return [part.slice(0, end), part.slice(end)]
  }))

/** The anchors of a page's headings, as GitHub makes them: '## A `b`, c' → 'a-b-c'. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of prose(text).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const base = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .replaceAll(' ', '-')
    let anchor = base
    for (let again = 1; anchors.has(anchor); again++) anchor = `${base}-${again}`
    anchors.add(anchor)
  }
  return anchors
}

/** The relative links of a page that lead nowhere. */
function brokenLinks(page: string, text: string): string[] {
  const outsideCode = prose(text).replaceAll(/`[^`\n]*`/g, '`')
  const links = [...outsideCode.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
  return links.filter((link) => !/^[a-z]+:/.test(link)).filter((link) => {
    const [file = '', anchor] = link.split('#')
    const target = file === '' ? page : path.join(path.dirname(page), file)
    if (!existsSync(path.join(ROOT, target))) return true
    return anchor !== undefined && !anchorsOf(file === '' ? text : read(target)).has(anchor)
  })
}

/** The keys of a value, at any depth, but for those of `refused`, which are limits. */
function keysOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap(keysOf)
  return Object.entries(value).flatMap(([key, inner]) =>
    [key, ...key === 'refused' ? [] : keysOf(inner)])
}

/** Rows of tables, by the code in their first cell. */
function rowsOf(text: string): Map<string, string> {
  const rows = new Map<string, string>()
  for (const [row, first = ''] of text.matchAll(/^\| `([^`]+)` \|.*$/gm)) rows.set(first, row)
  return rows
}

const PATH = /^(?:bench|docs|scripts|shards|src|test)\/[\w./-]+$/
/** In a picture, where a path has nothing around it. */
const PATH_INSIDE = /\b(?:bench|docs|scripts|shards|src|test)\/[\w/-]+\.(?:c?ts|md|wat)\b/g

/** Files and folders of the project that a page names, in its blocks of code as well. */
const pathsOf = (text: string): string[] => [
  ...[...prose(text).matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
    .filter((code) => PATH.test(code)),
  ...[...text.matchAll(BLOCK)].flatMap(([block]) => block.match(PATH_INSIDE) ?? []),
]

/** Those that are not there. */
const missingPaths = (text: string): string[] =>
  pathsOf(text).filter((file) => !existsSync(path.join(ROOT, file)))

describe('the checks of this file', () => {
  it('know anchors, also of headings with code and of those that come twice', () => {
    const text = '# A\n## POST /jobs\n### `watch`, `un_watch`\n## A\n```\n# no heading\n```\n'
    assert.deepEqual([...anchorsOf(text)], ['a', 'post-jobs', 'watch-un_watch', 'a-1'])
  })

  it('find links and paths that lead nowhere', () => {
    const text = '## Here\n[a](#here) [b](#there) [c](docs/API.md#errors) [d](docs/API.md#no) ' +
      '[e](docs/NONE.md) [f](https://example.com/#x) `[g](none)` `src/main.ts` `src/none.ts`\n' +
      '```\n │ (shards/none.ts, src/main.ts) │\n```\n'
    assert.deepEqual(brokenLinks('README.md', text), ['#there', 'docs/API.md#no', 'docs/NONE.md'])
    assert.deepEqual(missingPaths(text), ['src/none.ts', 'shards/none.ts'])
  })
})

describe('README.md', () => {
  it('has at most 12 KiB', () => {
    const bytes = Buffer.byteLength(read('README.md'))
    assert.ok(bytes <= README_BYTES_MAX, `it has ${bytes} bytes`)
  })
})

describe('links and paths', () => {
  for (const page of PAGES) {
    it(`of ${page} lead somewhere`, () => {
      const text = read(page)
      assert.deepEqual([...brokenLinks(page, text), ...missingPaths(text)], [])
    })
  }
})

describe('docs/ARCHITECTURE.md', () => {
  const sections = sectionsOf(read('docs/ARCHITECTURE.md'))
  const rooms = sections.get('Rooms') ?? ''
  const codes = (paths: readonly string[]): string[] => paths.map((name) => `\`${name}\``)
  const ofShards = ({ path: room }: Room): string[] =>
    importableFrom(room).filter((name) => name.startsWith('shards/'))
  /** What all rooms of src/ may import of the engine. */
  const openToAll = SHARD_ROOMS.map(({ path: room }) => room)
    .filter((name) => SRC_ROOMS.every((room) => ofShards(room).includes(name)))

  it('begins with the rooms, the way of a job, and the glossary', () => {
    assert.deepEqual([...sections.keys()].slice(0, 3), ['Rooms', 'The way of a job', 'Glossary'])
  })

  it('has every room in its order, with its line and what is open to it', () => {
    const rows = [...rooms.matchAll(/^\| `.*$/gm)].map(([row]) =>
      row.split('|').slice(1, -1).map((cell) => cell.trim()))
    assert.deepEqual(rows, [
      ...SHARD_ROOMS.map(({ path: room, what }) => [...codes([room]), what]),
      ...SRC_ROOMS.map((room) => [
        ...codes([room.path]), room.what,
        codes(ofShards(room).filter((name) => !openToAll.includes(name))).join(', '),
      ]),
    ])
  })

  it('says what is open to all rooms of src/', () => {
    const list = codes(openToAll).join(', ').replace(/, (?=[^,]+$)/, ' and ')
    assert.ok(rooms.replaceAll(/\s+/g, ' ').includes(`All its rooms may import ${list};`), list)
  })

  it('has the way of a job in at most twelve hops, each with its files', () => {
    const [before = '', ...hops] = (sections.get('The way of a job') ?? '').split(/^(?=\d+\. )/m)
    assert.equal(before.trim(), '')
    assert.deepEqual(hops.map((hop) => Number.parseInt(hop)), hops.map((_, at) => at + 1))
    assert.ok(hops.length > 0 && hops.length <= HOPS_MAX, `there are ${hops.length} hops`)
    assert.deepEqual(hops.filter((hop) => !pathsOf(hop).some((file) => file.endsWith('.ts'))), [])
  })
})

describe('docs/CONFIGURATION.md', () => {
  const rows = rowsOf(read('docs/CONFIGURATION.md'))

  /** Whether a reload with a change of the setting is refused. */
  const needsRestart = (name: keyof Config): boolean => {
    const of = (value: unknown): Config => ({ [name]: value }) as unknown as Config
    const loaded = { config: of('changed'), origins: {} } as unknown as LoadedConfig
    return changesThatNeedRestart(of('as it was'), loaded).length > 0
  }

  /** Undefined where the default depends on the machine, and is told in words. */
  const defaultOf = ({ fallback, fallbackText, kind }: Setting): string | undefined =>
    fallbackText === undefined
      ? `\`${kind.format(fallback({ cores: 1, memoryBytes: 0, descriptors: 0 }))}\`` : undefined

  for (const [name, setting] of SETTING_ENTRIES) {
    it(`has --${setting.flag} with its variable, key, default and reload rule`, () => {
      const row = rows.get(`--${setting.flag}`) ?? assert.fail('it has no row')
      const cells = row.split(' | ')
      assert.deepEqual(cells.slice(1, 3), [`\`${setting.env}\``, `\`${setting.key}\``])
      assert.equal(cells[3], defaultOf(setting) ?? cells[3])
      assert.equal(cells[4] === 'restart', needsRestart(name), `its reload rule is ${cells[4]}`)
    })
  }

  it('has no setting that there is not', () => {
    const flags = new Set(SETTING_ENTRIES.map(([, { flag }]) => `--${flag}`))
    const strange = [...rows.keys()].filter((name) => name.startsWith('--') && !flags.has(name))
    assert.deepEqual(strange, [])
  })
})

describe('docs/API.md', () => {
  it('has every error code with its status, and no other', () => {
    const text = read('docs/API.md')
    const table = text.slice(text.indexOf('\n## Errors\n'))
    const found = [...table.matchAll(/^\| `(\w+)` \| (\d{3}) \| \S/gm)]
      .map(([, code, status]) => [code, Number(status)])
    assert.deepEqual(found, Object.entries(ERRORS).map(([code, { status }]) => [code, status]))
  })

  it('has every field of /health', async (t) => {
    const { url } = await openScene(t)
    const health: unknown = await (await fetch(`${url}/health`)).json()
    const [, section = ''] = /\n## GET \/health\n([\s\S]*?)\n## /.exec(read('docs/API.md')) ?? []
    const named = new Set([...section.matchAll(/`([^`\n]+)`/g)]
      .flatMap(([, code = '']) => code.split(/[^a-z_]+/)))
    assert.deepEqual(keysOf(health).filter((key) => !named.has(key)), [])
  })
})
