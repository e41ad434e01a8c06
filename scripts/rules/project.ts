// Applies all rules to all files of the project: what `scripts/check` runs besides the compiler and
// the linter.

import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { loaders, randomness, thrown, time } from './banned.ts'
import { deadExports } from './exports.ts'
import { importRules, looseFile } from './imports.ts'
import { fileName, header, leftoverNote, lineWidth } from './shape.ts'
import { type Finding, type Source, readSource } from './source.ts'
import { lockFile, otherLanguage, stalePolicy, topLevel } from './tree.ts'

const FOLDERS = ['src', 'shards', 'test', 'bench', 'scripts'] as const

const FILE_RULES: ReadonlyArray<(source: Source) => Finding[]> = [
  lineWidth, header, fileName, leftoverNote, randomness, time, thrown, loaders,
]

/** The findings about one file. */
export const checkSource = (source: Source): Finding[] =>
  FILE_RULES.flatMap((rule) => rule(source))

/** The findings about the project in a folder, ordered by file and line. */
export async function checkProject(root: string): Promise<Finding[]> {
  const sources = FOLDERS.flatMap((folder) => typescriptFiles(root, folder))
    .map((file) => readSource(file, readFileSync(path.join(root, file), 'utf8')))
  const findings = [
    ...sources.flatMap(checkSource),
    ...sources.flatMap((source) => looseFile(source.path)),
    ...await importRules(root, FOLDERS),
    ...FOLDERS.flatMap((folder) => otherLanguage(filesIn(root, folder))),
    ...deadExports(sources),
    ...topLevel(readdirSync(root)),
    ...lockFile(readFileSync(path.join(root, 'package-lock.json'), 'utf8')),
    ...stalePolicy(new Set(sources.map((source) => source.path))),
  ]
  return findings.sort((left, right) =>
    left.path.localeCompare(right.path) || left.line - right.line)
}

/** `src/a.ts:3 rule message` */
export const formatFinding = ({ path: file, line, rule, message }: Finding): string =>
  `${file}:${line} ${rule} ${message}`

const typescriptFiles = (root: string, folder: string): string[] =>
  filesIn(root, folder).filter((file) => /\.c?ts$/.test(file))

function filesIn(root: string, folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .map((file) => file.split(path.sep).join('/'))
    .sort()
}
