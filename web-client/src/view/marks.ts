/** Where the drawn marks lie. */
import type { Mark } from '../circle/person';
import bamboo from './marks/bamboo.svg';
import camellia from './marks/camellia.svg';
import cloud from './marks/cloud.svg';
import down from './marks/down.svg';
import drop from './marks/drop.svg';
import fern from './marks/fern.svg';
import ginkgo from './marks/ginkgo.svg';
import moon from './marks/moon.svg';
import persimmon from './marks/persimmon.svg';
import plum from './marks/plum.svg';
import ridge from './marks/ridge.svg';
import ripple from './marks/ripple.svg';
import snow from './marks/snow.svg';
import stone from './marks/stone.svg';
import swallow from './marks/swallow.svg';
import wisteria from './marks/wisteria.svg';

export const markPictures: Readonly<Record<Mark, string>> = {
  bamboo,
  camellia,
  cloud,
  down,
  drop,
  fern,
  ginkgo,
  moon,
  persimmon,
  plum,
  ridge,
  ripple,
  snow,
  stone,
  swallow,
  wisteria,
};
