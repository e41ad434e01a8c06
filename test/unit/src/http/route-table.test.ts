// The Allow header of each path, as it follows from the table of routes.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { allowedMethods } from '../../../../src/http/route-table.ts'

it('names the methods of a path', () => {
  const expected: ReadonlyArray<readonly [path: string, allow: string | undefined]> = [
    ['/jobs', 'POST'], ['/jobs/batch', 'POST'], ['/jobs/abc', 'GET, DELETE'],
    ['/jobs/abc/stream', 'GET'], ['/health', 'GET, HEAD'], ['/ready', 'GET, HEAD'],
    ['/', undefined], ['/jobs/', undefined], ['/jobs/a/b', undefined], ['/jobsx', undefined],
    ['/x/health', undefined], ['/jobs/:id', 'GET, DELETE'], ['/*', undefined],
  ]
  for (const [path, allow] of expected) assert.equal(allowedMethods('callers', path), allow, path)
})

it('has no jobs on the listener of operators', () => {
  for (const path of ['/jobs', '/jobs/batch', '/jobs/abc', '/jobs/abc/stream', '/ws']) {
    assert.equal(allowedMethods('operators', path), undefined, path)
  }
  for (const path of ['/health', '/ready']) {
    assert.equal(allowedMethods('operators', path), 'GET, HEAD')
  }
})
