import { onStart, onStop } from "snakepit-bridge";

onStart(() => console.info("the hooks begin"));
onStop(() => console.warn("the hooks end"));
