#!/usr/bin/env node
/** dist/main.js, the program as it is installed: runs the bundle, from its code cache where there is one. */
import { bundle, run } from './bundle.js'
import { compile } from './code_cache.js'

run(compile(bundle).script)
