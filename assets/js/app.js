// Starts everything that makes pages better than they are by themselves. Each module looks for its own attributes.
import { copying } from "./copy.js";
import { forms } from "./forms.js";
import { keys } from "./keys.js";
import { live } from "./live.js";
import { menus } from "./menus.js";
import { select } from "./select.js";
import { swapping } from "./swap.js";
import { times } from "./times.js";

times();
forms();
menus();
copying();
select();
keys();
swapping();
live();
