// `npm run wasm`: makes src/scan/module.ts of src/scan/scan.wat. To be run when that was changed;
// test/unit/scan-module.test.ts fails until it is.

import { writeFileSync } from 'node:fs'
import { MODULE, moduleSource } from './wasm-module.ts'

writeFileSync(MODULE, await moduleSource())
