import * as sdk from 'anthropic-sdk-0';
import { run_all } from './support/run.mjs';

run_all('@anthropic-ai/sdk, last of major 0', sdk);
