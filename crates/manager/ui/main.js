/** Where everything begins. */

import { applyTheme } from './core/preferences.js';
import { start } from './core/router.js';
import { language } from './core/texts.js';
import { pages } from './pages/pages.js';
import { choosePassword, linkedBy } from './pages/register.js';
import { passThrough, watchForLogin } from './shell/login.js';
import { display, frame } from './shell/shell.js';

applyTheme();
document.documentElement.lang = language;
const link = linkedBy();
if (link) {
  choosePassword(link);
} else if (!passThrough()) {
  watchForLogin();
  frame();
  start(pages, display);
}
