// `npm run wasm`: generates src/shapes/scan/module.ts from scan.wat. Run it after every change of
// scan.wat; until then, test/unit/src/shapes/scan-module.test.ts fails.

import { writeFileSync } from 'node:fs'
import { MODULE, moduleSource } from './wasm-module.ts'

writeFileSync(MODULE, await moduleSource())
