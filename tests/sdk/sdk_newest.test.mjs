import * as sdk from '@anthropic-ai/sdk';
import { run_all } from './support/run.mjs';

run_all('@anthropic-ai/sdk, newest', sdk);
