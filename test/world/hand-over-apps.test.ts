/** Programs and servers as others publish them, on a held socket of the product. */

import { KINDS } from '../support/hand-over-apps.ts';
import { describeOnHeldSocket } from '../support/held-app.ts';

for (const kind of Object.values(KINDS)) describeOnHeldSocket(kind);
