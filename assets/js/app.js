// Starts everything that makes pages better than they are by themselves. Each module looks for its own attributes.
import { copying } from "./copy.js";
import { forms } from "./forms.js";
import { grids } from "./grid.js";
import { keys } from "./keys.js";
import { logs } from "./log.js";
import { live } from "./live.js";
import { menus } from "./menus.js";
import { refreshing } from "./refresh.js";
import { select } from "./select.js";
import { since } from "./since.js";
import { swapping } from "./swap.js";
import { times } from "./times.js";

times();
forms();
menus();
copying();
select();
keys();
swapping();
refreshing();
grids();
since();
logs();
live();
