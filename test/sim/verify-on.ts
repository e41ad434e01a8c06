// Enables the costly assertions. It must be imported before anything that reads assert.ts: modules
// are evaluated in the order of their imports, so this import must be the first.

process.env['SLUICE_VERIFY'] = '1'
