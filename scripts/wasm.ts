// `npm run wasm`: makes src/scan/module.ts of src/scan/scan.wat. To be run when that was changed;
// test/unit/scan-module.test.ts fails until it is.

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { moduleSource } from './wasm-module.ts'

writeFileSync(path.resolve(import.meta.dirname, '../src/scan/module.ts'), await moduleSource())
