#!/usr/bin/env node
// A file that is there before the build, so that installing can link the command.
import '../dist/main.js';
