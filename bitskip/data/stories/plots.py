"""The plots: one entry each. Data only; `tell.parse_plot` reads it.

The first line is the name with settings: `hero` (worlds), `thing` and `place` (groups of the
lexicon), `season`, `fate=gives` if the hero's belonging ends up with the friend, `friend=new` if
the two meet in the plot. Every further line is a step, its paraphrases parted by ` | `; `?` marks a
step that may be left out, `@` the spot for an aside (every plot has one), `=` an ending, `!` a
moral (a clause), `>` a recap (a clause in the past perfect). An indented line continues the one
before. Sentences are in the notation of `markup`. Paraphrases of one step must tell the same facts,
because any may follow any.
"""

PLOTS = """
lost and found; place=outdoor
{day}, {H} could not find {his} {o}. {He} looked under the bed, behind the curtain and inside
    every drawer.
  | {day}, the {co} was gone. {H} searched the cupboard, the basket and even the laundry.
<he: Have you seen my {o}? / It is {colour}.> <F^: No, / but I will help you look.>
  | <he: Please help me, {F}. / My {o} has vanished!> {F} [nodded at once|came at once].
@
[Step by step they|Together they] went back to {p}, because {H} had played there the day before.
?<F-: Nothing here, / and nothing there.> {H} swallowed hard.
  | They asked a man with a dog, but he had seen nothing. {H} [felt sad|felt like crying].
There, half hidden by [dry leaves|long grass], something {colour} peeped out. It was the {o}!
  | {F} lifted a fallen branch and laughed. Under it lay the {co}.
<he+: You have sharp eyes, {F}!> And {he} wiped the {o} clean.
  | {H} hugged {F} and promised to take better care of {his} things.
=From then on, {H} always put the {o} back on its shelf.
=They celebrated with {food}, and the {co} lay safely between them.
!a good friend is the best thing to have when something is lost
!two pairs of eyes see more than one
>the {o} had been lost and {F} had helped to find it

the quarrel; thing=toy music; place=outdoor
{day}, {H} and {F} both wanted to play with the {co} in the sunshine.
  | {day}, {F} reached for the {co} while {H} was still holding it.
<he: It is mine!> <F: You never share!> They pulled and pulled.
  | They tugged until their faces turned hot. <he: Let go!> <F^: You let go!>
@
Then {F} went home without a word, and {H} sat alone with the {o}. It was no fun at all.
  | {F} walked away, and all at once it was very quiet. {H} felt [sad|lonely|awful], and the {o} did
    not help.
?<G: Your {o} cannot laugh with you, / but a friend can.> {H} thought about that for a long time.
At last {he} went to find {F}. <he~: I am sorry. / You can have the first turn.>
  | {H} picked a bunch of clover and brought it to {F}. <he: Forgive me. / Let us take turns.>
<F^: I am sorry, too.> They shook hands on it.
  | {F} smiled a little, then a lot.
They counted their turns: {many} for one and {many} for the other.
  | Each of them got {many} turns, no more and no less.
=Until the sun went down, the {o} went back and forth between them.
=Nobody pulled any more, and nobody shouted.
!saying sorry is hard, but staying angry is harder
!taking turns makes a game twice as long and twice as good
>{F} had been angry and they had made peace again

the stuck animal; place=outdoor
{day}, {H} heard a tiny cry high above {him}. A kitten sat on a branch and shook.
  | {day}, on the way to {p}, {H} saw a kitten that had climbed too far up a tree.
<he~: Do not be afraid.> The kitten [squeaked|mewed] and clung to the bark.
{H} tried to climb, but the trunk was slippery and {he} slid down again.
  | Once, twice, three times {he} tried to climb, and each time {he} slid back into the grass.
@
So {he} ran to fetch {F}, who knew where the long ladder was.
  | <he: I need help!> And {he} ran all the way to {F}, who had a ladder.
{F} held the ladder still while {H} climbed, one rung after another.
  | Step by step {H} went up while {F} held on with both hands.
?Halfway up, {he} put the {o} down on a branch, because {he} needed both hands.
At last {he} reached the kitten and carried it down, warm and purring.
  | The kitten crept into {his} arms, and down they came together.
=The kitten licked {his} nose to say thank you.
=<F: You were careful and brave, / both at once.> {H} blushed.
!being careful and being brave can go together
!it is no shame to fetch help
>a kitten had been stuck in a tree and they had brought it down

the fair trade; fate=gives; place=outdoor town
{day}, {F} came along with a whistle carved from willow. {H} had never heard such a sweet sound.
  | {day}, {F} was blowing a whistle made of willow, and {H} could not stop listening.
{H} looked at the {co} in {his} hands. <he: Would you like to trade?>
  | <he: I could give you my {co}. / Would you swap it for the whistle?>
@
{F} turned the {o} around and thought. <fhe: Yes. / That is a fair trade.>
  | {F} thought for a long moment. Then {fhe} held out {fhis} hand, and they shook on it.
{H} watched {F} walk away with the {o} and felt a little [sad|strange].
  | That evening, {his} shelf looked empty without the {o}.
?<G: Do you want it back?> {H} shook {his} head. A trade was a trade.
In the morning {F} came by with the {co}, and {H} was waiting with the whistle.
  | But the next day {F} waved from the gate with the {o}, and {H} blew the whistle to greet {fhim}.
=They played side by side, and each of them was content.
=Now there were two happy friends instead of one.
!a trade is good when both friends smile
!what you give away can still make you happy
>the {o} had been swapped for a whistle

the broken promise; place=outdoor water
{H} had promised to meet {F} at noon, but {he} stayed at home to play with the {co}.
  | <he: I will be there at noon!> That was what {H} had told {F}. But then {he} began to play with
    the {co}.
{F} waited and waited until the shadows grew long.
  | All alone, {F} sat {atp} and counted the passing clouds.
@
When {H} looked at the clock, {his} stomach felt like a stone. <he-: Oh no! / I forgot {F}!>
  | Then {G} came in. <G: Did you not want to meet {F}?> {H} turned pale.
{He} ran all the way. <he: I broke my promise, / and I am ashamed.>
  | {He} ran to {F} as fast as {he} could. <he: I forgot you, / and that was wrong.>
{F} was hurt, but {fhe} listened. <fhe: Come tomorrow, / and be early.>
  | <F-: I was lonely. / Will you really come tomorrow?> {H} promised it again.
The next day {H} was there before the birds were awake.
  | In the morning {H} was the first one {atp}, an hour too soon.
=They played with the {o} all day, and {F} was not hurt any more.
=Since that day, {H} was never late again.
!a promise is small to say and big to keep
!being on time is a way of being kind
>a promise had been broken and mended

the great storm; hero=child animal; season=summer autumn; place=outdoor
One evening, black clouds rolled over {p}. Thunder growled, and the windows rattled.
  | The wind howled one evening, and rain hammered on the roof.
{H} hid under a blanket with the {co} pressed to {his} chest.
  | <he~: I am scared.> And {H} held the {co} tight.
Then the lamp went out. {GC} lit a candle and sat down beside {him}.
  | In the middle of it the light died. {GC} came in with a candle.
<G: Count with me. / If the thunder comes later each time, the storm is going away.>
  | <G: It is only clouds bumping into clouds. / Listen, and count the seconds.>
@
[They counted three, then six, then nine.|They counted four, then five, then eight.] {H} stopped
    shivering.
  | One, two, three, four. Each time the numbers grew, and the fear shrank.
?Down the road, {F} was counting, too. They found that out the next day.
By morning the sky was washed clean, and puddles shone like mirrors.
  | When {he} woke up, the storm was gone and a blackbird sang.
=Together with {F}, {he} jumped into every puddle.
=Now {H} almost liked to count the thunder, and {he} taught {F} how to do it.
!fear grows smaller when you share it
!every storm comes to an end
>the thunder had been counted until it went away

the new neighbour; friend=new; place=outdoor town
{day}, a truck full of furniture stopped next door, and out stepped somebody whom {H} had never
    seen.
  | {day}, a new family moved in next door. Someone small stood by the fence and looked at the
    ground.
{H} peeked through the hedge. <he~: Should I say hello?>
  | {H} wanted to wave, but {he} felt shy.
@
At last {he} took a deep breath, picked up the {co} and crossed the lawn.
  | Then {he} took {his} {co} under {his} arm and walked over.
<he: Hello, I am {H}. / Do you want to play?> The stranger looked up. <a small voice^: I am {F}.>
  | <he: This is my {o}. / We could play with it together. I am {H}.> The stranger smiled. <a small
    voice^: And I am {F}.>
{F} told {him} about a faraway town with yellow trams.
  | {F} came from a place where the snow reached up to the windows, and {fhe} talked about it for a
    long time.
Then {H} showed {fhim} {p} and the best hiding spot of all.
  | In return {H} showed {fhim} the way to {p}, and a short cut that nobody else knew.
=By supper {F} was a stranger no more.
=When it grew dark, they had already planned the next day.
!one hello can be the start of a long friendship
!everybody is new somewhere
>someone new called {F} had moved in next door

learning to ride; hero=child; place=outdoor; thing=pocket wear
{day}, {G} pumped up the tires of an old bicycle. <ghe: It is yours / if you can ride it.>
  | {day}, {H} decided to learn to ride the old bicycle from the shed.
The first time {he} wobbled and fell into a bush. The second time {he} hit a fence.
  | {He} pushed off, swayed left, swayed right and landed in the mud.
<he-: I will never learn it!> {He} rubbed {his} knee.
  | Tears came to {his} eyes. <he-: It is too hard!>
@
<F: Everybody falls at first. / Look far ahead and not at your feet.>
  | {F} had watched {him} from the steps. <F: Once more, / and this time look at the road!>
{H} touched the {co} for luck, fixed {his} eyes on the road and rolled.
  | So {H} thought of {his} {co}, pushed the pedals and did not look down.
The wheels hummed, the wind blew, and {he} was riding!
  | Ten turns of the pedals, then twenty. {He} was really riding!
=<F+: You did it!> And {fhe} ran along until {fhe} was out of breath.
={He} rode all the way to {p} and back.
!falling down is a part of learning
!whoever tries once more can learn
>the old bicycle had thrown {him} off {many} times before {he} could ride it

the surprise party; thing=pocket toy wear; place=outdoor indoor
It was {F}'s birthday, but nobody said a word about it, and {fhe} was [sad|puzzled].
  | {F} woke up early on {fhis} birthday, yet nobody seemed to remember it.
In secret, {H} hung paper lanterns {atp}.
  | Meanwhile {H} was decorating everything {atp} with ribbons.
{G} baked a tall cake with cherries on top. <ghe: How many candles?> <H^: {Many}, / one for every
    year.>
  | {H} stuck candles into a cake: exactly {many}, one for every year.
@
Then {H} went to {F}. <he: I have lost my {o}. / Will you help me look for it?>
  | <H: {F}, / could you help me find my {co}?> {He} kept a straight face.
So they went to {p} together. "Surprise!" everyone shouted, and {F} [gasped|covered {fhis} mouth].
  | When they came to {p}, all the neighbours jumped out. "Happy birthday!" they sang.
And the {o} was not lost at all: {H} pulled it out from behind {his} back.
  | {H} laughed and showed {fhim} the {co}. It had never been lost.
{F} blew out all {many} candles with one breath.
  | With one big puff, the {many} little flames were gone.
=<F+: I thought that you had all forgotten!> But nobody had.
=Everyone got a piece of cake, and {F} got the biggest.
!sometimes silence hides something sweet
!the best gift is to be remembered
>{F} had been surprised with {many} candles

sharing by count; place=outdoor water wild
{day}, {G} gave {H} {many} {food} for a picnic.
  | {day}, {H} packed {many} {food} into a paper bag for a picnic.
On the way {he} ate one, and then there were {fewer} left.
  | One of the {food} looked too good. {H} ate it, and {fewer} were left.
{He} sat down {atp}, and the {co} lay beside {him}.
  | {Atp}, {he} found a soft spot for {him} and {his} {o}.
Along came {F}, whose lunch had fallen into a puddle.
  | {F} sat down beside {him}. <F-: I dropped my lunch in the mud.>
@
{H} counted the {food} again. There were {fewer}. <he: You can have one.>
  | <H: Here, take one. / I still have {fewer}.>
{F} [ate it|chewed happily], and now {fewest} remained in the bag.
  | That left {fewest} in the bag, and nobody was hungry.
?To say thank you, {F} let {him} try {fhis} glider, and {H} let {fhim} try the {o}.
=They brought the {fewest} {food} home to {G}.
=The last {fewest} {food} they carried home for later.
!half a lunch with a friend tastes better than a whole one alone
!counting is useful, but giving is better
>only {fewest} of the {many} {food} had come home

the little lie; thing=toy carry music
{day}, {H} knocked over a tall vase while {he} was playing with the {co}. It broke into {many}
    pieces.
  | {day}, the {co} hit the tall vase. Crash! There were {many} pieces on the floor.
<G: Who did this?> <H^: The dog did it.> {He} said it very quickly.
  | When {G} came in, {H} pointed at the dog. <he: It was not me.>
So the poor dog had to go outside, and it did not know why.
  | The dog got no supper and had to sleep in the yard.
@
{H} could not sleep. The lie sat on {his} chest like a brick.
  | In bed {he} turned left and right. {He} felt [terrible|ashamed].
?<F: You should tell the truth.> That was what {F} said when {H} asked {fhim} the next day.
At last {he} went to {G}. <he~: I told a lie. / It was me.>
  | Then {he} could not bear it any longer and told {G} the truth.
<G: Thank you for being honest.> They glued the {many} pieces together, one by one.
  | {GC} was stern, then gentle. Together they glued the {many} pieces.
The dog got two suppers that night.
  | And {H} hugged the dog and gave it two suppers.
=The vase had lines all over now, but {G} liked it even more.
=<H: I will never blame the dog again.> And {he} never did.
!the truth can be heavy, but a lie weighs more
!an honest word makes the heart light
>the vase had been broken and the dog had been blamed

the seesaw; place=outdoor; thing=pocket toy wear
{day}, {H} found a long seesaw that nobody was using. {He} sat down on one end, and nothing
    happened.
  | {day}, there was an empty seesaw, but alone {H} could only sit on the ground.
{He} put the {co} on the other end. It was far too light.
  | The {co} was not heavy enough to lift {him}.
Then {he} tried a bucket of sand. It was still too light.
  | {He} fetched a pile of books, but even they did not lift {him}.
@
{He} rolled a big rock onto the board. Now {H} hung in the air and could not get down.
  | A big rock was too heavy, and {H} hung high in the air, kicking.
Just then {F} came by. <F: You need somebody of your own size.>
  | {F} saw {him} up there and giggled. <F: May I take the place of the rock?>
Up went {H}, and down went {F}; then down went {H}, and up went {F}.
  | {F} climbed on, and the board swung like the arm of a clock.
=They laughed until their bellies ached, and the {o} watched from the grass.
={Many} times up and {many} times down, and then they were dizzy.
!some games need two
!what one cannot do alone, two can do with ease
>a big rock had lifted {him} into the air

the snail race; season=spring summer autumn; place=outdoor
{day}, {F} invited everybody to a snail race.
  | {day}, {H} and {F} each picked a snail for a race.
{H} painted {acolour} dot on {his} snail's shell and called it Lightning.
  | The snail with the {colour} dot belonged to {H}. {He} called it Lightning.
<F: Ready, steady, go!> Nothing moved.
  | A leaf fell to start the race. Both snails went to sleep.
@
They waited so long that {H} fetched the {co} to pass the time.
  | To pass the time, {H} showed {F} what {he} could do with the {co}.
Then one shell wobbled forward by an inch. {H} held {his} breath.
  | At last something moved. <F~: Look at Lightning!>
Slowly, very slowly, the {colour} dot crept over the line.
  | After an hour the snail with the {colour} dot had won.
The prize was a lettuce leaf, and Lightning ate all of it.
  | <H+: What a champion!> Lightning ate the prize, which was a lettuce leaf.
={F} did not mind losing. {Fhis} snail had enjoyed its nap.
=In the end both snails were carried back to the wet grass.
!slow feet arrive, too
!patience is a kind of speed
>a snail called Lightning had won a race

the garden; season=spring; place=outdoor
{day}, {G} gave {H} a packet with {many} seeds. <ghe: Be patient with them.>
  | {day}, {H} got {many} striped seeds from {G}.
{He} dug {many} little holes and dropped one seed into each.
  | With a small spade {he} planted all {many} of them in a row.
For a whole week there was only brown soil. <F: They are asleep.>
  | Day after day {H} looked, and day after day there was nothing. Even {F} gave up hope.
@
Still, {he} watered them every morning and pulled the weeds.
  | <G: Water and wait.> And so {he} did.
?To keep the crows away, {he} hung the {co} on a stick beside the row.
One dawn a green tip broke through, then another, until all {many} stood in a line.
  | Then it rained one warm night, and {many} sprouts lifted their heads.
By the end of summer, sunflowers nodded over the fence, taller than {H}.
  | In August there were {many} sunflowers, as high as the roof of the shed.
={H} gave the biggest one to {F} and the brightest one to {G}.
=<F+: You grew a forest!> They had a picnic in its shade, with the {o} between them.
!good things grow while you wait
!a gardener must trust what cannot be seen
>{many} seeds had become {many} sunflowers

the lost tooth; hero=child; place=outdoor; thing=pocket toy wear carry
{day}, {H} bit into {afood} and felt something odd. {His} tooth was loose!
  | {day}, while {H} was eating {afood}, a tooth began to wiggle.
<F: Does it hurt?> <H^: Only a little.> {He} pushed it with {his} tongue.
  | {F} wanted to see it. <fhe+: It dances!>
@
Later, {atp}, {he} sneezed, and out flew the tooth into the grass.
  | That afternoon {he} jumped down a step {atp}, and the tooth popped out and was gone.
<H: Nobody move!> They searched every blade of grass.
  | They crawled on their hands and knees and looked under every leaf.
Then {F} held up something small and white.
  | At last {F} cried out. There it was, as white as milk.
That night the tooth lay under {his} pillow, and the {co} kept watch.
  | {H} wrapped it in a tissue and put it under {his} pillow, next to the {co}.
=In the morning, there was a coin in its place.
={He} smiled at the mirror with a gap as big as a door.
!growing up comes in small pieces
>the loose tooth had been lost in the grass

the night light; place=outdoor
One night, when the lamp was off, {H} saw a monster in the corner.
  | One evening {H} saw a dark shape behind the wardrobe.
<he~: Go away!> It did not move. {H} hugged the {co}.
  | The shape had long arms and a crooked hat. {H} pulled the {co} closer.
@
{GC} came in. <ghe: Shall we greet it together?>
  | <G: Let us see who it is.> And {ghe} took {his} hand.
They switched on a light. The monster was only a coat on a hook!
  | The light fell upon a coat, a scarf and a hat on a hook. That was all.
<H+: Good evening, Mister Coat!> And {he} bowed.
  | {H} laughed so loudly that {F} heard it next door.
?The next day {he} told {F} about Mister Coat, and {fhe} wanted to shake hands with him.
=After that {H} was not afraid of the corner any more.
=From then on {he} said good night to the coat, too.
!most monsters are made of shadows
!a little light chases away a big fear
>the monster had turned out to be a coat

the stray; hero=child; place=town outdoor water
{day}, a puppy with muddy paws followed {H} home.
  | {day}, near {p}, {H} found a puppy, thin and wet.
<he: May I keep it?> <G^: It may belong to somebody.>
  | {H} dried it with a towel. <he: It has no collar. / Can it stay?> {GC} was not sure.
They drew posters and pinned them up everywhere. {F} helped.
  | {F} and {H} knocked on {many} doors, but no one had lost a puppy.
@
A week passed, and nobody came. The puppy slept beside the {co} each night.
  | For seven nights the puppy curled up next to the {co}, and nobody asked for it.
<G: Then it has chosen you.> {H} danced around the kitchen.
  | At last {G} brought home a bowl and a leash. {H} was [overjoyed|so happy that {he} cried].
<F: What is its name?> {H} thought of the muddy paws. <he: Puddle!>
  | They called it Puddle, because of its muddy paws.
=Puddle wagged its tail, as if it had always known.
=From then on, three went for a walk: {H}, {F} and Puddle.
!a home is wherever somebody waits for you
!caring for an animal is a promise for every day
>a puppy had become Puddle

the running race; place=outdoor wild; thing=pocket wear
{day}, there was a race around {p}. {H} was fast and very sure of winning.
  | {day}, everyone gathered for the big race. {H} had trained for weeks and wanted to win.
{F} stood beside {him}, nervous and quiet. <F: I only hope to finish.>
  | <F: Good luck.> {Fhe} was a little nervous.
The whistle blew. {H} shot ahead like an arrow, with the {co} for luck.
  | Off they went. With the {co} as a lucky charm, {H} was soon in the lead.
@
Suddenly there was a thud. {F} lay on the path and held {fhis} ankle.
  | Halfway, {F} stumbled over a root and fell. {H} heard the cry and looked back.
{H} could win, or {he} could stop. {He} stopped.
  | The finish was near, but {H} turned around.
<H: Lean on me.> And {he} put {F}'s arm around {his} neck.
  | {He} ran back. <he: We will finish this together.>
They limped over the line last of all, and the crowd cheered the loudest for them.
  | Arm in arm they came in last, and everybody clapped.
=They did not get a medal, but nobody remembered who did.
=<F: You could have won.> <H^: I did.>
!there are things better than winning
!a medal rusts, but kindness does not
>the race had been lost and nobody had been sad about it

the treasure hunt; hero=child; place=outdoor; thing=pocket toy wear
{day}, {H} found a note in {his} boot. It said, "Look where bread is born."
  | {day}, a letter lay on the mat. "Look where bread is born," it said.
<he: Bread is born in the oven!> And there was a second note. It said, "Look where books sleep."
  | {He} ran to the oven. Behind it was another note. "Look where books sleep," it said.
On the bookshelf {he} found the third. It said, "Ask the one who loves {food}."
  | Between two thick books stuck the last note. "Ask the one who loves {food}," it said.
@
<he: That must be {F}!> {He} raced over.
  | Who loved {food} more than anybody? {F}, of course.
{F} was already at the door with a key. <fhe+: It took you long enough!>
  | {F} grinned and held out a key.
The key opened a shed, and inside stood {acolour} box, just right for the {o}.
  | It fitted the door of the shed. There stood {acolour} box that {G} had built for the {o}.
=The {co} fitted into it as if they had grown up together.
=<H: Looking for it was half of the gift.> And {he} hugged them all.
!the way can be as good as the gift
!looking carefully is a kind of play
>three notes had led to {acolour} box

the bakery helpers; hero=child; place=town; thing=pocket wear
{day}, the old baker had hurt her arm, and the shop smelled of nothing.
  | {day}, there was no smell of bread in the street, because the old baker had hurt her arm.
<H: We could help.> {F} tied on an apron that was far too large.
  | {H} put {his} {o} on the shelf, and {he} and {F} scrubbed their hands.
{H} kneaded the dough while {F} cracked the eggs.
  | They measured flour and stirred until their arms ached.
The first tray burned black. <F-: Oh dear.>
  | They forgot the first tray in the oven, and out came coal.
@
<the baker: Never mind. / My first tray was black, too.> So they began again.
  | <H: Once more, / and this time we watch the clock.>
The second tray was golden, and people stood in line all the way to the corner.
  | But then the next buns came out, golden and sweet, and the whole street could smell them.
{Many} customers came, and {many} customers left with warm bags.
  | They served {many} customers, one after another.
=By evening a single roll was left, and they shared it.
=The baker gave each of them a warm bun every Friday after that.
!helping hands can even bake bread
!a mistake is only the first try
>the first tray had burned and the second had been golden

the message in a bottle; place=water; season=spring summer autumn
{day}, the waves washed a green bottle ashore. There was paper inside.
  | {day}, something glittered at the edge of the water: a green bottle with a cork.
<F: Open it!> It took both of them to pull the cork.
  | {H} and {F} pulled the cork with a loud pop.
Inside was a letter. "Whoever reads this is my friend," it said, and someone had drawn an island.
  | They unrolled a drawing of an island. Under it stood, "Whoever reads this is my friend."
@
{H} wrote an answer and drew the {co} on it.
  | They wrote back at once, and {H} drew {his} {o} in the corner, as {colour} as it was.
<F: Will it ever arrive?> <H^: If the wind is kind.>
  | {F} added {many} kisses at the bottom.
They sealed the bottle with wax and threw it far out.
  | The tide carried their answer away, bobbing and blinking.
?For {many} weeks they looked for a bottle every day.
=One day there was another green bottle, and in it was a drawing of {aanimal} holding {acolour}
    {o}.
=Somewhere, on an island, someone read it and smiled.
!somewhere, someone is waiting for a letter
!kind words can travel across the sea
>a green bottle had come across the water

the snow fort; season=winter; place=outdoor; thing=toy wear carry
It had snowed all night, and the world was white and silent.
  | {day}, everything was covered in snow, even {p}.
{H} and {F} rolled {many} big snowballs and piled them up into a wall.
  | They built a fort from {many} heavy balls of snow.
<H: Let us put the {o} on top like a flag!>
  | {H} set the {co} on the highest wall so that everyone could see it.
@
Then the sun came out. Drip, drip, drip went the fort.
  | At noon, the walls began to sag and shine.
<F-: It is melting!> {H} was [sad|disappointed] for a moment.
  | {F} tried to patch it, but the water ran through {fhis} mittens.
?{H} rescued the {o} before the wall fell down.
<H: Then we will make a river.> And they sailed paper boats in the meltwater.
  | {H} laughed and folded a paper boat, and the castle became a harbour.
=When the frost came back at night, they had a slide.
=<F: Next winter / we will build it again.> And they did, twice as high.
!some things are beautiful because they do not last
!an end can be the start of another game
>the snow fort had melted into a river

the magic hat; place=town; thing=pocket toy
{day}, a magician came to {p} and asked for a helper. {H} raised {his} hand.
  | {day}, a magician in a starry cape needed a helper, and {H} climbed onto the stage.
<the magician: What have you got there?> <H^: It is my {o}.> The magician asked if she might
    borrow it.
  | The magician pointed at the {co}. <the magician: May I borrow that?>
She covered the {o} with a silk scarf. One, two, three, and it was gone!
  | She put the {o} into her hat, tapped it twice, and it had vanished.
@
{H} gasped. <he: Please give it back!>
  | The crowd was amazed, but {H} was worried.
<the magician: Look behind your friend, / and you will see.> {F} turned around.
  | <the magician: Ask your friend.> {F}, in the first row, stood up, puzzled.
There, on {F}'s chair, lay the {co}!
  | And there it was: {F} had been sitting on the {co}.
={F} had no idea how it had got there, and the magician only winked.
=For weeks {H} and {F} tried the trick with a spoon and a napkin.
!not every secret has to be solved
>a magician had made the {o} disappear

the broken toy; thing=toy music; place=town outdoor
{day}, the {co} slipped from {his} hands and cracked.
  | {day}, {H} tripped over a stone. Snap! A piece broke off the {co}.
{H} tried to put the parts together, but they fell apart again.
  | {He} stared at the broken {o} and felt [sad|miserable].
<F: You could get another one.> <H^: It would not be the same.>
  | <F: Will you throw it away?> <H^: Never!>
@
<G: Bring it to me.> {Ghe} took out glue, string and a tiny screwdriver.
  | {GC} looked at the {o} from all sides. <ghe: We can mend it, / but it will take time.>
It took the whole afternoon, and {H} had to hold very still.
  | They worked until supper, and not a drop of glue was wasted.
?{F} came to watch and held the lamp.
At last the {o} was whole, with one fine line where it had cracked.
  | The {o} had a thin scar now, but it was stronger than before.
={H} ran {his} finger along the line and smiled.
=<H: Now it has a story.> And {he} told the story to {F}.
!mended things have stories
!it is better to repair than to throw away
>the {o} had been broken and mended again

the shy singer; place=indoor outdoor town; thing=pocket toy wear
{H} loved to sing, but only when nobody was listening.
  | In the bath, {H} sang like a lark; in front of others, {he} was silent.
{day}, {F} heard {him} through the window. <F: That was wonderful!> {H} turned red.
  | {day}, {F} stood outside and clapped. {H} had not known that anyone was listening.
<F: There is a concert at the end of the week. / You must sing!>
  | {F} begged {him} to sing at the concert.
<H: What if I forget the words?> <F^: Then hold your {o} / and sing to it alone.>
  | {H} shook {his} head. <F: Take your {o} along, / and sing for it.>
@
On the evening of the concert, {his} knees shook. {He} looked at the {co} and began.
  | When {his} turn came, {H} held the {co}, closed {his} eyes and sang. The first note trembled.
By the second verse {his} voice was as clear as a bell.
  | Then {he} forgot that {he} was afraid, and the song flew.
When it ended, there was silence, and then the applause came like rain.
  | The people hummed along, and at the end they stamped their feet.
=<F+: I knew it!> And {F} clapped the loudest of all.
=Since then, {H} sang with open eyes.
!courage can begin with one trembling note
>{H} had sung in front of everyone

the wrong bag; hero=child; place=town; thing=pocket toy wear
{day}, {H} came home from a trip and opened {his} bag. It was the wrong one!
  | {day}, on a bus, two bags looked exactly alike, and {H} took the wrong one home.
Instead of the {co}, there were {many} {food} and a thick book in it.
  | {He} found {many} {food} and a thick book, but no {o}.
<he-: Somebody else has my {o}!> {He} was close to tears.
  | {H} was very [upset|worried], because the {co} was in the other bag.
@
{GC} found a label. It said that the bag belonged to {F}!
  | <G: Look, / there is a name in the book.> The name was {F}.
{H} did not eat a single one of the {food}, although they smelled good.
  | <he: I must not eat any of these.> And {he} closed the bag.
They met halfway. {F} was holding the other bag, and they burst out laughing.
  | {H} ran to {F}, who opened the door with the {co} in {fhis} hand. <F+: I was looking for you!>
{F} counted: all {many} {food} were still there. <fhe: Half of them are yours!>
  | Not one of the {many} {food} was missing, and {F} shared them with {him}.
=Then {H} tied {acolour2} ribbon to {his} bag.
=They laughed about it for the rest of the year.
!what is not yours should come back to its owner
>two bags had been mixed up

the fishing trip; place=water; season=spring summer autumn; thing=pocket toy wear
Before sunrise, {G} woke {H} up to go fishing, and {F} came along.
  | {day}, {G} took {H} and {F} out in a small boat to fish.
<G: Fish do not like noise.> {H} sat as still as a stone.
  | {H} threw out the line and waited, and waited some more.
Then the line went tight. {He} pulled and pulled, and up came an old boot.
  | Something heavy bent the rod. It was an old boot!
@
They laughed so much that the boat rocked and the {co} nearly fell in.
  | {H} laughed until {he} nearly dropped the {co} overboard.
At noon {he} felt a real tug. A silver fish flashed in the sun.
  | Then a fish leapt out of the water, bright as a coin, and it was on {his} hook.
<H: It is too small. / Let it grow.> Gently, {he} set it free.
  | {He} looked into its round eye. Then {he} let it swim away.
=They came home with an empty bucket and one old boot.
=<F: How big was it?> {H} held {his} hands far apart and then, honestly, close together.
!not everything that you catch has to be kept
!patience is half of fishing
>they had caught one boot and one small fish

the spoiled library book; hero=child; place=outdoor; thing=pocket toy wear
{day}, {H} got {his} very first library card. {He} chose a thick book about {animals}.
  | {day}, {G} took {H} to the library, and {he} borrowed a thick book about {animals}.
{He} carried it everywhere, even to {p}.
  | {He} read it in bed, at the table and even {atp}.
But there it fell into a puddle, and the pages swelled like bread.
  | There the rain surprised {him}, and all the pages went soft and wavy.
@
<he-: They will never lend me a book again.> {He} hid it under {his} bed, behind the {co}.
  | For two days {H} hid the book behind {his} {o} and felt [awful|sick with worry].
<F: Tell the truth. / I will come along.> So they went together.
  | {F} heard about it and took {his} hand. <F: I will go with you.>
<H~: I spoiled it. / May I work for it?> The librarian looked at {him} over her glasses.
  | At the desk {H} told the librarian everything and asked to work for it.
For three afternoons {he} dusted shelves. Then the librarian stamped {his} card again.
  | So {he} sorted books for three afternoons, until it was paid for.
={He} read {many} more books that {season}, all of them dry.
=The next book about {animals} {he} wrapped in a towel.
!owning up opens doors
>the book about {animals} had fallen into the wet

the kind giant; place=outdoor; thing=toy wear
People said that a giant lived in the grey house behind {p}.
  | Everybody was afraid of the very tall man in the grey house.
{day}, the wind carried the {co} over his wall. <F-: Oh no!>
  | {day}, the {co} was blown right into his garden. {F} turned pale.
<H: I must fetch it.> {His} legs were like jelly, but {he} rang the bell.
  | {H} swallowed hard and rang the bell, while {F} hid behind a tree.
The door creaked. A huge man bent down. <the man~: Is this yours?> In his hand was the {o}.
  | The man was tall indeed, but he wore soft slippers, and he carried the {o} with great care.
@
He had roses, a piano and {many} singing canaries, and no visitors at all.
  | Inside, {many} canaries sang, but there was only one chair at the table.
He served them {food} on tiny plates. <the man: Will you come again?>
  | <the man: Nobody ever visits me.> He gave each of them {afood} and was glad.
=After that, {H} and {F} came back every Saturday.
=They went home with the {o} and with a new friend.
!you must meet someone before you judge him
!the tallest one in town may be the loneliest
>the giant behind the wall had been a lonely man

the missing lamb; place=wild; thing=pocket wear music; season=spring summer autumn
{H} had to count the lambs: there should have been {many}, but there were only {fewer}.
  | {day}, {H} was allowed to count the flock. One lamb was missing: there were {fewer} instead of
    {many}.
<he: I will find it.> {He} took the {co} along.
  | {H} told {G}, took {his} {co} and set out.
{F} joined {him}, and they called until they were hoarse.
  | Together with {F} {he} asked the miller and the girl with the geese, but nobody had seen it.
@
At last, {atp}, they heard a thin bleat from a thorn bush.
  | Then, {atp}, white wool shone between the brambles.
{F} held the branches while {H} freed the frightened lamb.
  | Carefully {H} bent the thorns aside, and {F} pulled the lamb out.
?It was shivering, so {H} carried it in {his} arms, and {F} carried the {o}.
Back at the barn {he} counted again: {many}.
  | That evening all {many} of them were in the barn.
=The lamb drank its milk and fell asleep at once.
=<G: Every single one counts.> And {ghe} closed the gate.
!every single one counts
!you should not stop looking too soon
>one of the {many} lambs had been missing

the treehouse; place=outdoor; season=spring summer autumn; thing=pocket toy wear carry
{day}, {H} and {F} drew a plan for a treehouse.
  | {day}, {H} and {F} found a tree that was just right for a treehouse.
{G} gave them boards, a saw and {many} nails.
  | They got planks and rope and {many} long nails.
{H} wanted a tower, but {F} wanted a balcony. They argued until dusk.
  | <F: A balcony!> <H^: No, a tower!> And so it went on for an hour.
@
<G: Why not both?> They looked at each other. Yes, why not?
  | Then {G} laughed and told them to build both.
For {many} days they hammered and sawed.
  | They hammered one nail a day, and after {many} days it was finished.
They pulled up the {co} in a basket, and it got the best corner.
  | The {co} was the first thing to move in, for luck.
=It was a tower with a balcony. It was crooked, and it was theirs.
=Up there they could see everything, and no one could see them.
!two ideas are better than one
!what you build together belongs to both
>a treehouse had got a tower and a balcony

the borrowed thing; place=outdoor
{day}, {F} asked to borrow the {co} for one day. {H} was not sure.
  | {day}, {F} looked at the {co}. <F: May I borrow it? / Only until tomorrow.>
<H: Will you be careful?> <F^: Very careful.> And {H} handed it over.
  | {H} thought about it. Then {he} placed the {o} into {F}'s hands.
That night {he} missed it and lay awake.
  | The evening was long without the {o}.
@
The next day {F} did not come, nor the day after. {H} was [cross|angry].
  | Two days went by without a word from {F}. {H} stamped {his} foot.
Then {G} heard that {F} was in bed with a fever.
  | {He} went to {F}'s door, and there {he} heard that {F} was ill.
{F} lay under three blankets. The {co} stood safe on the table. <fhe~: I could not bring it.>
  | <F~: I am sorry, / I was too weak to come.> The {co} stood beside the bed, without a scratch.
{H} felt foolish for being cross. {He} sat down and read {fhim} a story.
  | All the anger was gone. {H} brought {fhim} {food} and fluffed up the pillow.
=When {F} was well again, they played with the {o} together.
=<H: Keep the {o} / until you are well.> And after a week {F} brought it back.
!it is better to ask before you get angry
!think kindly before you think badly
>{F} had been ill and had kept the {o} safe

the echo; place=wild
{day}, {H} shouted "Hello!" and a voice shouted "Hello!" back.
  | {day}, {H} called "Hello!" into the distance, and somebody answered "Hello!"
<he: Stop copying me!> The voice called, "Copying me!"
  | <he: Who are you?> The voice called, "Are you?"
{H} grew angry. <he: You are silly!> And the voice yelled the same.
  | Then {he} called it a rude name, and the rude name came back.
@
{F} came up the path. <F: Try saying something nice.>
  | <F: It is only an echo. / It gives back what it gets.>
So {H} held up the {co} and called, "Come and play!" And the hills sang, "And play!"
  | {H} thought about it. Then {he} called, "You are my friend!" And far away it sang, "My friend!"
?Then {F} tried it, and the echo had to work very hard.
=They said good night to the echo, and it said good night to them.
=After that, {H} never called anybody a rude name again.
!the world often answers in the tone that you use
>an echo had learned to be kind

the wishing well; fate=gives; place=town outdoor; thing=toy music carry
{day}, {H} stood at the old wishing well with one coin. {He} could not decide what to wish for.
  | {day}, {H} went to the old wishing well. {He} had one coin and a very long list of wishes.
Then {he} saw {F}, who sat on a bench and was [sad|in tears].
  | But there was {F}, all alone on a bench, with wet cheeks.
<F-: My house is so empty. / All my toys are still on the ship.> {F} had just moved to another
    street across the bay.
  | {F} explained that all {fhis} toys had got lost on the way to the new house across the bay.
@
{H} dropped the coin. <he~: I wish that {F} had something to play with.>
  | The coin fell with a plop. {H} had wished for something to cheer {F} up.
They waited. Nothing happened.
  | The well was silent, and the sky was, too.
So {he} made the wish come true {self}: {he} gave {fhim} the {co}.
  | Wishes are slow, {he} thought, and {he} put the {co} into {F}'s arms.
<F: For me?> <H^: For you.> {F} beamed like the morning.
  | {F} looked up. <F: Is it really mine?> {H} nodded.
=And {H} found that {he} did not need another wish.
=The {o} had never looked so good.
!you can be the one who grants a wish
>{H} had made a wish come true all alone

the talent show; place=indoor; thing=pocket toy wear
There would be a talent show, and {H} had no talent, or so {he} thought.
  | {day}, a poster announced a talent show. <H-: I have no talent at all.>
{F} could juggle and practised all day long.
  | {F} was going to juggle. {Fhe} could keep {many} balls in the air.
{H} tried to juggle and broke a plate; {he} tried to dance and got dizzy.
  | {H} tried to walk on {his} hands, but {he} only knocked over a chair.
@
On the evening of the show everything went wrong: the curtain got stuck, and the light went out.
  | When the night came, the curtain would not open, and then the lamp died.
{F} was nearly in tears. <F-: What shall we do?>
  | Nobody knew what to do, and {F} began to tremble.
{H} found a lamp, freed the curtain and lent {F} the {co} for luck.
  | <H: Hold my {o}. / I will fix it.> And {he} freed the curtain and fetched a lamp.
The show went on, and {F} did not drop a single ball.
  | So {F} juggled all {many} balls, and everybody cheered.
=In the end they called {H} onto the stage and clapped for the one who had saved the show.
=<F: You do have a talent! / You help.> {H} had never thought of that.
!caring for others is a talent, too
!not every star stands on the stage
>the show had nearly gone wrong and {H} had saved it

the night walk; place=wild outdoor water; thing=pocket toy music wear
{day}, {H} and {F} stayed out too long, and it grew dark.
  | {day}, {H} and {F} forgot the time, and when they looked up, the sun had set.
<F~: Which path is ours?> An owl hooted.
  | The trees seemed taller than by day. {F} held on to {H}.
{H} remembered what {G} had taught {him}: look for the brightest star.
  | <H: I have learned about the brightest star. / It stands above our roof.>
@
They walked with the {co} between them and sang, so that the dark would not feel so big.
  | Step by step they went on. {H} held the {co} tight, and they sang every song they knew.
Twice a branch cracked, and twice it was only {aanimal}.
  | Something rustled. It was {aanimal}, and it was more afraid than they were.
At last a light moved on the road. It was {G} with a lamp.
  | Then there was a light in the distance. {GC} had come to meet them.
=<G: You found the way!> And {ghe} hugged them both.
=They never stayed out so late again.
!the stars are good friends to those who know them
!a song makes a dark road shorter
>a star had shown them the way home

the picky eater; place=town outdoor; thing=pocket toy wear
{H} did not like {food}, although {he} had never tasted any.
  | <H: I do not like {food}.> That was what {he} always said, but {he} had never tried them.
{day}, {F} came to eat with them and asked for {food}.
  | {day}, {F} stayed for supper, and there were {food}.
<H: How can you eat that?> <F^: With my mouth.>
  | {F} chewed with closed eyes. <F+: Mmm! / Try it.>
@
{H} squeezed the {co} for courage.
  | For courage, {he} put the {co} beside {his} plate.
{He} pinched {his} nose and took the smallest bite in the world.
  | Then {he} shut {his} eyes and licked at a corner.
It was not bad. It was not bad at all!
  | {His} eyebrows went up. Nobody had told {him} how good it was.
<he+: More, please!> {GC} nearly dropped the spoon.
  | {H} ate {many} of them, and {G} could only stare.
=Now {food} were what {he} liked best.
=<F: And tomorrow / we will try olives.> {H} was not so sure about that.
!you cannot know before you taste
>{H} had tasted {food} for the first time

the rain dance; season=summer; place=outdoor; thing=pocket wear music carry
It had not rained for {many} weeks, and all the grass was yellow.
  | For {many} weeks the sun had burned, and the stream was only a thread.
The {animals} panted in the shade, and the flowers hung their heads.
  | Even the {animals} were too tired to play.
<H: We must save water.> And {he} carried the bath water to the plants.
  | {H} and {F} brought cups of water to the youngest trees.
@
Then {F} drummed on a pot to call the rain, and {H} danced.
  | <F: Let us dance for rain!> They stamped and drummed on a pot.
?{H} swung the {co} in a circle, round and round.
Boom, went the sky. One drop fell, then {many}, then too many to count.
  | A cloud came, as small as a hat, then as large as a house. And it rained!
The {co} got wet, and so did everybody, and nobody minded.
  | They stood there with open mouths while the {o} dripped.
=Was it the dance? They never found out, but they danced once more.
=The next morning everything was green.
!every drop is precious to those who are thirsty
>they had danced until it rained

the treasure map; place=wild outdoor; season=spring summer autumn
{day}, {H} found a yellow map in the pocket of an old coat. A red cross was drawn on it.
  | {day}, in the attic, {H} discovered a map with a red cross.
<F: A treasure!> They packed a rope, a shovel and the {co}.
  | {H} and {F} took a shovel, {many} {food} and the {co}.
The map said: {many} steps from the big stone, then left.
  | They counted {many} steps from the big stone and turned left.
@
They dug until the shovel hit something hard. Clang!
  | Under roots and pebbles there was a tin box.
In it was a note: "I hid this when I was small." It was signed by {G}!
  | Inside lay a note. {GC} had written it many years ago!
<F: What else is in there?> There was {aanimal} carved from wood.
  | Beside the note lay {aanimal} made of wood, smooth and old.
They brought it to {G}, who held it for a long time. <ghe~: I had forgotten that I was so small.>
  | When {G} saw the little {animal}, {ghis} eyes were wet. <ghe~: You found it.>
=The {animal} and the {o} stood side by side that night.
=Then they hid a secret of their own for somebody to find.
!the best treasure is a story that nobody had told before
>they had dug up a wooden {animal}

the bully; hero=child; place=outdoor; thing=toy wear music
There was a big boy {atp} who took things from smaller children.
  | A big boy often pushed the little ones aside {atp}.
{day}, he snatched the {co} from {H}. <the boy: It is mine now!>
  | {day}, he grabbed the {co} and held it high above his head. <the boy: Come and get it!>
{H} wanted to cry, but {F} stepped forward. <F: Give it back.>
  | <F: That is not right.> And {F} stood beside {H}.
@
One child after another came to stand with them, until there were {many}.
  | Soon {many} children stood in a line, quiet and serious.
The boy looked at his shoes. <the boy-: Nobody ever plays with me.>
  | The boy lowered his arm. <the boy~: I only wanted to play.>
{H} took back the {o}. <he: You could just ask.>
  | He gave the {o} back. <H: Ask us, / and you can play.>
=After a long silence, he asked. And he could kick a ball higher than anybody.
=The next day there were {more} children, and one of them was very tall.
!standing together makes the small ones tall
!it takes courage to be firm, and more courage to be kind
>a big boy had learned to ask

the bridge; place=wild water; season=spring autumn
{day}, the flood had swept away the little bridge.
  | {day}, after the rain, the plank across the stream was gone.
On the other bank stood {F} and waved. They could not reach each other.
  | {F} was on the far side, and {H} was on the near one.
They shouted, but the water was louder.
  | {H} threw a rope, but it was too short.
@
Then {H} pointed at the stones, and {F} understood: each of them would build a half.
  | {F} held up a stone, then another. <H: Of course! / We will build from both sides.>
Stone by stone they built until only one step was missing.
  | From one side came {H}, from the other side came {F}, and the gap grew smaller.
?The {many} biggest stones they had to roll, one at a time.
{H} held {his} {o} high above the water, took a leap, and they stood together.
  | With the {co} held high, {H} took the last step.
=In the middle they shook hands like two kings.
=The new bridge was a little crooked, but it held.
!a bridge begins on both sides
!friends find a way across
>they had built a bridge from both sides

the lemonade stand; season=summer; place=outdoor town; thing=pocket toy wear
{day}, it was so hot that {H} had an idea. <he: Lemonade!>
  | {day}, {H} and {F} were too hot to play. <H: Let us sell lemonade!>
{F} squeezed the lemons, and {H} painted {acolour2} sign.
  | They mixed water and lemons, and {H} hung up {acolour2} sign.
The first customer coughed. They had used salt instead of sugar!
  | Nobody wanted a second cup. <F-: We put salt into it!>
@
<H: Once more.> They poured it away and started over.
  | They began again, stirring and tasting, until it was just right.
Soon there was a long line in front of the {colour2} sign.
  | Now everyone who saw the {colour2} sign stopped for a cup.
By evening there were {many} coins in the jar.
  | They sold {many} cups, and that made {many} coins.
With the {many} coins they bought seeds for the birds.
  | They did not keep the {many} coins. They bought {food} for all who had helped.
=The {o} stood beside the empty jar like a guard.
=<F+: Tomorrow with sugar from the start!> And they shook hands on it.
!you should taste before you sell
!work is sweet when it is shared
>there had been salt in the lemonade

the stopped clock; place=town; thing=pocket wear
{day}, the tower clock stood still, and nobody knew when to eat.
  | {day}, the big clock stopped at nine, and everything fell into confusion.
The clock maker was old, and her fingers shook. <the clock maker: I need small hands.>
  | <the clock maker: The gears are too tiny for me. / Who has small hands?>
{H} had small hands. Up {he} went, all {many} flights of stairs.
  | So {H} climbed up {many} flights of stairs, while {F} waited below.
@
There, in the greatest wheel, slept {aanimal}!
  | Between two wheels {he} found {aanimal} in a nest of straw.
<he~: You picked a noisy bed.> {He} carried the {animal} to a safe corner.
  | Gently {he} moved the {animal} to a corner out of the wind.
Then {he} gave the wheel a push. Tick, said the clock. Tock, it said.
  | The wheels turned, the bell rang, and far below {F} cheered.
=As a reward, the clock maker polished the {co} until it shone.
=The {animal} stayed, and it had the best view in town.
!small hands can move big things
>{aanimal} had slept in the tower clock

the painted fence; place=outdoor; thing=pocket toy wear music; season=spring summer
{day}, {G} asked {H} to paint a long, long fence.
  | {day}, {H} had to paint a fence instead of playing with the {co}.
{He} dipped the brush into {colour2} paint and sighed.
  | The paint was {colour2}, the sun was hot, and {H} was [sad|bored].
{F} came by. <F: Is it fun?>
  | <F: What are you doing?> {F} had stopped on the road.
@
{H} had an idea and painted {aanimal} on the first board. <he: I am making a zoo.>
  | <H: I am making a picture.> And on the first board {he} painted {aanimal}.
So {F} took another brush, and soon {many} {colour2} animals stood on the boards.
  | Then {F} wanted to paint, too. Between them they painted {many} animals, all of them {colour2}.
{GC} came home and stared. Then {ghe} laughed until {ghe} had to sit down.
  | <G: What is this?> Then {ghe} saw the {animal} and laughed.
=On the last board they painted the {o}, {colour} as it was.
=It became the best fence for miles, and people came to look at it.
!a chore can turn into a game
>{many} animals had been painted on a fence

the ferry; place=water; thing=toy wear carry music
{day}, {H} took the ferry for the first time, and {F} came, too.
  | {day}, {H} and {F} boarded the white ferry.
The deck swayed, and {his} stomach swayed with it.
  | <H-: My legs are made of soup.> The sailors chuckled.
Then a wave splashed over the rail and pulled the {co} along.
  | The ship rolled, and the {co} slid across the planks.
@
<H: Catch it!> {F} jumped and stopped it with one foot.
  | It was {F} who caught the {o} at the very last moment.
<F: Look at the line where the sky ends. / Then you will not be dizzy.>
  | {F} had crossed {many} times before. <F: Look at the horizon.>
{H} looked at the line between sea and sky, and the world stood still.
  | {He} tried it, and it worked. {He} could even eat {afood}.
=On the way back {he} told a small boy about the line where the sky ends.
=When they landed, {H} did not want to get off.
!a steady eye makes a steady heart
>a wave had nearly taken the {o}

the concert of pots; place=outdoor; thing=music pocket toy; season=spring summer autumn
It had rained for {many} days, and {H} was bored.
  | {day}, it poured, and no one could go out. {H} was bored.
A spoon fell on a lid and made a lovely clang.
  | {He} tapped on a pot with a spoon. Ping!
<F: Do that again!> And {F} picked up two ladles.
  | {F}, who had come to visit, joined in with a comb and paper.
@
Even the {co} got a part. It went first, and it went last.
  | They gave the {co} a place in the middle of the band.
<G: What is that terrible noise?> Then {ghe} took a whisk and played along.
  | {GC} came in with {ghis} hands on {ghis} ears, listened, and started to dance.
They played {many} songs, and each was louder than the last.
  | After {many} songs they were out of breath.
=When the sun returned, they hardly noticed.
=<H: Will it rain tomorrow?> {He} almost hoped for it.
!boredom is only an idea that has not arrived yet
>a whole band had been made from pots

the ant road; season=spring summer; place=outdoor wild; thing=pocket wear carry
{day}, {H} lay in the grass and watched the ants.
  | {day}, a line of ants crossed the path in front of {H}.
They carried crumbs that were larger than themselves. <he: How strong they are!>
  | One ant dragged a petal like a flag. {H} could not stop looking.
{F} came running. <H: Stop! / You will crush the road.>
  | {F} nearly stepped on them. <H: Careful!>
@
A puddle was in the way, so they laid a twig across it, and the ants used it as a bridge.
  | They made a bridge from a twig, and the ants marched over the puddle.
{H} put down a crumb of {food1}, and soon {many} ants were pulling at it.
  | A crumb of {food1} needed {many} ants to move it.
<F: If I were small, / I would want the big ones to be gentle.> {H} nodded.
  | With the {co} they shaded the tiny workers from the sun.
=After that, {H} looked at the ground before every step.
=That evening the crumb was gone, and so were the ants.
!the smallest neighbours deserve care, too
>the ants had crossed the puddle on a twig

the dragon costume; hero=child; place=town outdoor; thing=toy wear pocket
There was going to be a parade, and {H} wanted to be a dragon.
  | {day}, everybody was making costumes for a parade. {H} chose a dragon.
{He} sewed {acolour2} tail, though the stitches were crooked.
  | From an old sack {he} made a long {colour2} tail.
{F} was going as a knight. <fhe: Then we must fight.>
  | <F: I am a knight.> {Fhe} had a wooden sword.
@
But in the middle of the parade the tail tore off. Someone laughed, and {H} stood there [sad|close
    to tears].
  | Then somebody stepped on the {colour2} tail, and it came off. {H} did not know where to look.
{F} knelt and tied the tail on with {fhis} own belt. <fhe: I am a knight who helps dragons.>
  | The knight picked up the tail. <F: Dragons are under my protection.> And {fhe} tied it on.
They marched on side by side, with the {co} as their royal treasure.
  | Together they guarded the {co}, the treasure of the dragon.
=In the end they won second prize, and the {colour2} tail wagged.
=Everybody clapped for the knight and the dragon.
!not every knight has to fight
>a knight had mended the tail of a dragon

the apology cake; place=outdoor town
{H} had laughed when {F} fell into the mud, and now {F} would not speak to {him}.
  | The day before, {F} had fallen into the mud, and {H} had laughed. Now {F} looked away when {he}
    came.
{H} held {his} {o}, but it did not cheer {him} up.
  | Even the {co} could not make {him} happy.
<G: Begin with sorry, / and then do something.> {H} thought about it.
  | {H} asked {G} what to do. <G: What does your friend like?>
{F} loved {food}. So {H} baked a cake with {many} of them on top.
  | {He} baked a cake and put {many} {food} on it, because {F} loved them.
@
The cake sank in the middle, like a hat that somebody had sat on.
  | It came out crooked and a little burnt.
{He} carried it to {F}'s door. <he: It looks awful, / and I am sorry.>
  | <H: I should not have laughed. / Now you may laugh at my cake.> {He} held it out with both
    hands.
{F} looked at the cake, then at {H}. The corners of {fhis} mouth twitched.
  | {F} bit {fhis} lip, then giggled, then laughed out loud.
=They ate all of it, even the burnt part.
=They shared the {many} {food}, and everything was well again.
!laughing with someone is better than laughing at someone
>a crooked cake had made {F} laugh

the moon in the pond; place=water; season=spring summer autumn
One evening, {H} saw the moon lying in the water.
  | One clear night, {H} stood at the water, and the moon was in it.
<H: It has fallen in! / We must save it.> {F} fetched a net.
  | <H: It will drown!> {F} ran and came back with a net.
They scooped, and the moon broke into {many} pieces.
  | Every time they dipped the net, the moon shivered into {many} pieces.
{H} was [sad|horrified]. <he-: Now we have broken it.>
  | <F~: We broke it.> Neither of them moved.
@
Then {G} came and pointed upward. There it was, round and whole.
  | <G: Look up!> And there it was, high above them, and nothing was missing.
They sat with the {co} between them and watched both moons.
  | {H} held up the {o}, and its shadow danced on the silver water.
=They waved to the moon above and to the moon below.
=<H: Good night, / you two.> And they carried the empty net home.
!you should look twice before you worry
!some things can be admired but never caught
>they had tried to save the moon with a net

the spelling contest; hero=child; place=indoor; thing=pocket toy wear
{H} had learned {many} hard words for the spelling contest.
  | {day}, the school held a spelling contest, and {H} had learned {many} hard words for it.
One by one the others sat down, until only {H} and {F} were left.
  | In the last round only {F} and {H} stood on the stage.
<the judge: Your word is '{animal}'.> {H} touched the {co} and began.
  | <the judge: Please spell '{animal}'.> {H} thought of {his} {o} at home and began.
But {he} said one letter twice, and the judge had not noticed.
  | The judge nodded, but {H} knew that {he} had said one letter too many.
@
<he: Excuse me, / that was wrong.> A murmur went through the hall.
  | {H} could have kept quiet. <he: I am sorry, / but I made a mistake.>
So {F} won the cup and let {him} hold it first.
  | The cup went to {F}, who bowed to {H}.
=At home {G} gave {him} a hug, and that was better than a cup.
=<F: We should both have won.> And {fhe} meant it.
!some victories are not written on a cup
>{H} had told the judge about {his} own mistake

the old windmill; place=wild; thing=pocket wear carry
{day}, {H} and {F} explored a windmill that had not turned for {many} years.
  | On a hill stood a windmill that had not turned for {many} years. {day}, {H} and {F} went inside.
Cobwebs hung like curtains, and an owl looked down from a beam.
  | The floor creaked, and an owl opened one eye.
<F: Could it still work?> <H^: It only needs new sails.>
  | <H: It only needs new sails.> {F} looked up and nodded.
@
They asked everybody for old sheets, and {G} sewed them together.
  | From {many} old sheets {G} made new sails, with a needle as long as a finger.
Then the wind came. The sails groaned, shook off the dust and turned.
  | They pulled the brake, and slowly the great arms began to move.
The first flour made pancakes for everybody. {H} put the {co} on the window ledge to watch.
  | {H} put the {co} on the window ledge, as if it were the miller, and they baked pancakes with the
    first flour.
=The owl found a quieter roof, but it came to visit.
=From then on, one could see the mill turning from far away.
!old does not mean finished
>the old mill had turned again after {many} years

the deaf dog; hero=child; place=outdoor; thing=toy carry wear
{F} had a new dog that never came when it was called.
  | {day}, {H} met {F}'s new dog, which never listened.
<F-: It is so stubborn.> {H} was not so sure.
  | {F} called and called, but it did not even turn its head.
{H} clapped behind its back. It did not blink. <he: It cannot hear!>
  | {H} dropped a pan behind it. The dog went on dreaming. <he: I think it is deaf.>
@
So they taught it signs: a flat hand meant sit, and a raised {o} meant come.
  | They invented signs. When {H} raised the {co}, it meant come, and a flat hand meant sit.
After {many} days the dog knew every sign.
  | They needed {many} days, and then the dog understood.
{F} had tears in {fhis} eyes. <fhe: You understood it.>
  | The dog leaned against {H} and sighed.
=Whenever it saw the {co}, it came running as fast as the wind.
=<H: It was never stubborn. / We were too loud and not clear enough.> {F} agreed.
!one does not listen with ears alone
!before you scold, you should try to understand
>a deaf dog had learned to come when it saw the {o}

the balloon; hero=child; place=wild outdoor; season=spring summer autumn; thing=pocket toy wear
{day}, {acolour2} balloon as high as a church landed in front of {H} and {F}.
  | {day}, a big {colour2} balloon came down from the sky, and {H} and {F} ran to see it.
<the pilot: I have lost my way. / Who knows this valley?>
  | The pilot had no map. <the pilot: Can you show me the way?>
<H: We can!> <the pilot: Then climb in.>
  | {H} and {F} knew every path. So the pilot helped them aboard.
@
Up they rose. Houses turned into boxes, and cows turned into ants.
  | The ground sank away, and {F} squeezed {H}'s hand.
{H} held the {co} tight and pointed out the river and the road.
  | From above, {H} found the river at once. The {co} was safe in {his} arms.
?They counted {many} villages from up there.
They landed softly in a meadow, where {G} came running.
  | When they were down again, {G} was waiting, out of breath.
=The pilot waved, and the {colour2} balloon became a dot in the sky.
=For days the ground seemed to sway a little.
!those who know their home can help others find the way
>they had shown the way to {acolour2} balloon

the bird feeder; season=winter; place=outdoor; thing=pocket toy wear carry
The ground was frozen, and the birds found nothing to eat.
  | {day}, {H} saw small birds with puffed feathers sitting in the frost.
<H: They are hungry.> {F} turned out {fhis} pockets and found only crumbs.
  | <F: What do birds eat in the snow?> <H^: Nothing, / if nobody helps them.>
They nailed a roof on a tray and filled it with seeds.
  | From an old box and two sticks they built a little house and filled it with seeds.
The first guest was a fat squirrel that ate everything.
  | But a squirrel came first and swallowed all of it.
@
So {H} hung it on a thin string, where only birds could go.
  | <F: Hang it higher, / on a string!> {H} did, and the squirrel could only look.
Soon there was one bird, then three, then {many}.
  | One by one the birds came, until {H} counted {many}.
?{H} sat behind the window with {his} {o} and did not move.
=In spring they sang for {him} at five in the morning.
=And the squirrel got a nut of its own, so that it was not jealous.
!winter is warmer when someone cares
>{many} birds had found seeds in the snow

the volcano; hero=child; place=indoor; thing=pocket toy wear
For the science fair, {H} and {F} built a volcano from clay.
  | {day}, {H} and {F} made a volcano for the science fair.
{F} measured the vinegar while {H} painted the slopes {colour2}.
  | They painted it {colour2} and tried it {many} times in the yard.
But at the fair the volcano did nothing. The judge waited. {H} was [upset|embarrassed].
  | When the judge came, it only hissed and sank. {H} wanted to hide.
<the judge: What did you learn?> {H} thought aloud. <he: The powder was wet. / Next time we will
    keep it dry.>
  | <the judge: Why did it fail?> <H^: It was damp. / We must test one thing at a time.>
@
The judge wrote that down with a smile. Just then the volcano went off.
  | At that moment there was a gurgle.
Foam covered the {co}, the table and the judge.
  | Warm foam shot up and ran over the {o}, the table and the judge's shoes.
=They won the prize for the best answer.
=It took {many} towels to clean everything up.
!a failed test is still an answer
>the volcano had gone off too late

the drifting boat; place=water; season=spring summer autumn; thing=wear carry
{day}, {H} saw a small boat drifting away. {F} was in it!
  | {F} had fallen asleep in a rowing boat, and the rope had come loose. {H} saw it drift away.
The oars were still on the shore.
  | There were no oars on board, and the wind grew stronger.
<F: Help!> {H} could not swim that far.
  | {H} knew that jumping into the water would be foolish.
@
So {he} waved the {co} high above {his} head until a fisherman saw it.
  | {He} climbed onto a rock, shouted and waved the {co}. At last a fisherman turned his head.
The fisherman steered his boat out and threw a line.
  | A motor coughed, and the fisherman brought {F} back.
{F} was pale and wet, but safe. {GC} wrapped {fhim} in a blanket.
  | Back on land, {G} had blankets and hot milk for {fhim}.
=Since that day, they checked every knot twice.
=<F~: You saved me.> And {fhe} would not let go of {H}'s hand.
!calling for help is brave and wise
>{F} had drifted away and a fisherman had brought {fhim} back

the star names; place=wild outdoor; thing=pocket toy wear carry
{H} wanted to own a star, but the stars were too far away.
  | One night, {H} looked up. <he: I would like to own a star.>
<G: Then collect their names.> And {ghe} gave {him} a thin notebook.
  | {GC} gave {him} a thin notebook. <ghe: Write down their names, / and they are yours.>
Every clear night {he} lay on the grass with {F} and the {co}.
  | {F} came along, and they lay on their backs with the {co} between their heads.
@
In one week they had learned {many} names that sounded like faraway music.
  | They wrote down {many} names, and each of them was like a little song.
Once a star fell. <F: Was it one of ours?>
  | Then a thin line crossed the sky. <F~: A falling star!>
{H} looked through the list. All {many} of them were still there.
  | {H} counted quickly. No, none of their {many} stars was missing.
=The notebook seemed to glow a little in the dark.
=And one small star, which had no name yet, they called {F}.
!what you know by name is never far away
>they had collected the names of {many} stars

the triangle; hero=child; place=indoor; thing=pocket toy wear
In the orchestra, {H} played the triangle, and it rang only once.
  | {H} had the smallest part in the orchestra: one note on the triangle.
<he: You are lucky, {F}. / You have the big drum.> {F} did not know what to say.
  | {F} played the big drum and was heard all the time. {H} was [jealous|sad].
<H-: My part does not matter.> So {he} stayed at home with {his} {o}.
  | {H} looked at the {co}. <he-: Nobody will miss one note.> And {he} stayed at home.
At the rehearsal everyone stopped, confused.
  | Without {him}, the piece fell apart.
@
{F} came to fetch {him}. <fhe: We wait for your note. / It tells us that the sun is rising.>
  | <F: Where were you? / Without your note we do not know where to start.> {H} was surprised.
On the night of the concert {he} rang it, clear and bright.
  | So {he} came to the concert and played {his} single note as well as {he} could.
The whole orchestra rose like morning.
  | And {F}'s drum answered, and the music began to shine.
=<G: I heard you best of all.> {H} blushed.
=One note, in the right place, had carried the song.
!no part is too small to be missed
>one note had been missing from the whole orchestra

the winter burrow; hero=animal; season=autumn; place=wild outdoor; thing=pocket toy wear carry
The nights grew cold, and it was time to fill the pantry. {H} had gathered only {many} nuts.
  | {day}, {H} looked into {his} pantry. There were {many} nuts, and that was not enough.
<G: Winter is long.> So {H} set out with {his} {o}.
  | With {his} {o} on {his} back, {H} went out to find more.
@
Under a hedge sat {F}, shivering. <F-: The rain washed my pantry away.>
  | {He} met {F}, whose pantry had been flooded. {F} had nothing left.
{H} thought of {his} {many} nuts. They were few for one and fewer for two.
  | {Many} nuts! Could that be enough for two?
<H: Come and live with me. / We will look for more together.>
  | But {he} did not think long. <H: My burrow has room for two.>
Together they were quick: one shook the branches, and the other gathered.
  | {F} climbed, {H} caught, and soon the pile was as high as a house.
When the first snow fell, they were warm, and nobody was hungry.
  | The first snow covered the door, and inside it was warm and full of stories.
=In spring there were {many} nuts left, and they planted them.
=All winter long the {o} hung on the wall of a home for two.
!there is more when you share
>they had filled one pantry for two

the lost duckling; hero=animal; place=water; season=spring summer; thing=pocket wear carry
{day}, a duckling stood in front of {H} and cried. It had lost its mother.
  | {day}, something small followed {H}. It was a duckling that had lost its mother.
<H: What does she look like?> <the duckling^: Like the whole world.>
  | <H: Where did you see her last?> <the duckling-: Where the water was.>
@
They asked {F}, who knew everyone. <F: I saw ducks by the reeds.>
  | {F} came along, because {fhe} knew every nest between here and {p}.
First they met a heron, but it was not the mother. Then they met a swan, but it was not the
    mother, either.
  | They asked a heron and a swan, but neither of them had lost a child.
The duckling grew tired, so {H} wrapped it up and let it hold the {o}.
  | When it cried again, {H} let it look at the {co}, and it grew quiet.
Then there was a loud quack in the reeds. <the duckling: Mama!>
  | At last they heard somebody calling and calling. The duckling jumped. <the duckling: Mama!>
The mother counted her children: {many}. Now none of them was missing.
  | There were {fewer} other ducklings, and with this one there were {many}.
=<the mother: Thank you both.> And {many} little tails wagged at once.
=They swam away in a line, and the last one kept looking back.
!nobody should have to look for home alone
>a duckling had found its mother in the reeds

the snowed-in station; hero=machine; thing=fitting; place=track; season=winter
{day}, so much snow fell that nothing could move.
  | {day}, the whole town was buried in snow.
<G: There is medicine to deliver. / Who can do it?> Nobody answered.
  | <G: Someone must bring the medicine to the hospital.> The others looked away.
<H: I will try.> Some of them laughed, because {he} was so small.
  | {H} was the smallest. <he: I will go.>
@
Slowly {he} pushed through the snow. {F} came behind {him} with the medicine.
  | {He} went first to clear the way, and {F} followed with the medicine.
Near {p} a drift was as high as a house. {H} pushed and slipped and pushed again.
  | At the biggest drift {he} stopped. {He} went back a little, took a run and pushed.
?It was so foggy that {F} saw nothing but the {colour} {o}.
After {many} tries it gave way, and the road was free.
They delivered the medicine before dark.
  | In the evening they reached the hospital, and the doctors waved from the windows.
=Nobody laughed at {H} any more.
=<F: You are small, / but you are strong where it counts.> {H} hummed with joy.
!small ones can open the way for big ones
>{H} had pushed through the deepest snow

the foggy harbour; hero=machine; thing=fitting; place=track; season=autumn spring
One night, the fog was so thick that nobody could see.
  | A thick fog rolled in one evening and swallowed everything.
{F} was still out there, alone. <G: I am worried.>
  | <G: {F} has not come home.> Everybody was [worried|very quiet].
<H: I will stand at the end of the road and make noise.> And {he} rolled out into the white.
  | {H} went as far out as {he} dared and called as loudly as {he} could.
@
{He} called {many} times, and {many} times there was no answer.
  | {Many} times {he} called, but nothing came back except the dripping of water.
Then, far away, there was a very small sound. It was {F}!
  | At last there was a faint answer. <F-: I cannot see where I am!>
<H: Come to my voice!> And slowly a shadow came nearer.
  | {H} kept calling until two pale lights came out of the fog.
{F} was cold and dirty, but not hurt. The first thing {fhe} had seen was the {co}.
  | <F: First I heard you, / and then I saw your {o}.> {F} was safe.
=They rolled home side by side, very slowly.
=In the morning the fog was gone, and the {o} sparkled with dew.
!a friendly voice is the best light in the fog
>{H} had called {F} home through the fog

the new paint; hero=machine; thing=fitting; place=track
{day}, a shiny newcomer came to {p}, painted {colour2} from end to end.
  | {day}, somebody new rolled in, so {colour2} and so shiny that everyone stared.
{H} looked at {his} own rust and felt [sad|old].
  | Next to the newcomer, {H} looked dull. {He} was ashamed of {his} scratches.
<F: Every scratch of yours has a story.> But {H} did not listen.
  | {F} tried to cheer {him} up. <F: You have your {o}, / and you know every stone here.>
@
Then the newcomer had to climb the steep hill with {many} heavy crates, and got stuck.
  | With {many} heavy crates the newcomer got stuck on the steep hill.
<the newcomer-: I do not know this hill!> {H} knew it well.
  | {H} had climbed that hill a thousand times. <he: Take it slowly, / and keep to the left.>
{He} came up behind and pushed, and together they reached the top with all {many} crates.
  | {H} pushed from behind, and not one of the {many} crates fell down.
<the newcomer: How did you learn that?> <H^: Each scratch was a lesson.>
  | <the newcomer: I wish I had scratches like yours.> {H} had to laugh.
=That night {he} polished {his} {o} and left the scratches as they were.
=The newcomer asked for stories, and {H} had one for every scratch.
!what you know does not wear off like paint
>the old and the new had climbed the hill together

the runaway wagon; hero=machine; thing=fitting; place=track
{day}, a wagon full of {food} broke loose and rolled down the hill.
  | {day}, somebody forgot a brake, and a wagon full of {food} began to roll.
<F: Stop it!> It rolled faster and faster toward {p}.
  | It was heading for {p}, and it grew faster every second. {F} sounded the alarm.
{H} did not think twice. {He} raced after it.
  | <H: I am coming!> And off {he} went.
@
{He} got in front of it and let it bump into {him}, ever so gently.
  | First {he} overtook it; then {he} slowed down until it leaned against {him}.
{His} brakes screeched, and sparks flew. The {co} shook.
  | The {o} rattled, the wheels smoked, and {he} held on.
Slower, slower, and it stood still, an inch from the gate.
  | At last both of them stopped, just before the gate.
Not more than {many} of the {food} had fallen out.
  | {Many} of the {food} lay on the road, and the birds were glad.
=<G: That was quick thinking.> And {H} let off steam, very softly.
=From then on, {F} checked every brake twice.
!a cool head is faster than fast wheels
>{H} had stopped a runaway wagon

the night delivery; hero=machine; thing=fitting; place=track
One evening, there was one last parcel to deliver, and everyone was tired.
  | It was late, and one small parcel was left.
<G: It can wait until tomorrow.> {H} read the label. It was a birthday present.
  | On the label stood, "For my birthday". <H: It cannot wait.>
<F: Then I will come with you.> And so they set out.
  | {F} did not want {him} to go alone, so they went together.
@
The road was dark and steep, but the {co} showed them the way by its glint.
  | It was so dark that {F} followed the glint of the {co}.
They passed {many} sleeping houses and crossed one long bridge.
  | {Many} houses lay there without a light. They rolled by on tiptoe, so to speak.
At the last house a little light was burning. Somebody was still hoping.
  | A child sat at the window of the last house and looked out.
When the child saw the parcel, there was a shout that woke up the whole street.
  | <the child: It came!> And the child danced on the doorstep.
=On the way back they were not tired at all.
=<F: It was worth it.> <H^: Every mile.>
!one small parcel can be somebody's whole day
>the last parcel had come in time for a birthday

the missing button eye; hero=toy; thing=trinket; place=nursery
One night, {F} could see only half of the room. One of {fhis} button eyes was gone!
  | <F-: My eye!> One night, {F}'s button eye had fallen off and rolled away.
<H: Do not worry. / We will find it.> And {he} climbed down.
  | {H} took {fhim} by the hand. <he: I will be your eye / until we find it.>
@
They looked under the bed and found {many} crumbs and one sock.
  | Behind the curtain there were {many} marbles, but no button.
Under the cupboard something glinted, but a spider sat on it.
  | There it was, under the cupboard, and a big spider thought that it was a mirror.
<H: That eye belongs to my friend. / Would you take my {o} instead?> The spider thought about it.
  | {H} did not want to take it by force. {He} offered the spider a look at {his} {o}.
<the spider: Keep it. / It is enough that you asked.> And it stepped aside.
  | The spider was touched. <the spider: Nobody ever asks me. / Take the eye.>
{H} sewed the button on with {colour2} thread.
  | With {colour2} thread the eye was soon in its place again.
=<F: I can see all of you!> And {fhe} looked at {H} and the {co} for a long time.
=Now {F}'s left eye had {acolour2} rim, and {fhe} thought it elegant.
!asking politely opens more doors than pushing
>a spider had given back the button eye

the forgotten shelf; hero=toy; thing=trinket; place=nursery; friend=new
One night, {H} heard somebody sob behind the highest shelf.
  | One night, when all was quiet, {H} heard a sob from far above.
{He} climbed up, book by book, with {his} {o} on {his} back.
  | It was a long climb, and {he} took {his} {o} along.
There, under the dust of {many} years, sat a toy that nobody knew.
  | Behind a row of books {he} found a toy that had been forgotten for {many} years.
<H: Who are you?> <the toy^: I am {F}. / Or I was.>
  | <the toy~: I am {F}. / Do they still remember me?> {H} did not know what to say.
@
{He} dusted {fhim} off and told {fhim} all the news.
  | {H} wiped the dust from {F}'s face. There was a smile under it.
<H: Come down with me.> <F^: I am afraid of the height.>
  | {F} looked down and trembled. <fhe: I cannot do it.>
So {H} tied the {co} to a string and let it down first. <he: You see, / it landed softly.>
  | First {H} let down {his} {o} on a string to show how easy it was.
Then they went down together, one book at a time.
  | {F} closed {fhis} eyes, held on to {H}, and they slid down the curtain.
=In the morning a child found {F} and danced through the room.
=After that, no shelf was ever forgotten again.
!nobody should be left in the dust
>{F} had been forgotten for {many} years

the midnight race; hero=toy; thing=trinket; place=nursery
At midnight the toys held a race from the door to the window.
  | When the clock struck twelve, all the toys lined up for a race.
<F: I will win. / I have wheels today.> {F} had tied {many} wooden beads under {fhis} feet.
  | {F} had put {many} wooden beads under {fhis} feet to roll on.
{H} had nothing but {his} {o} and a good heart.
  | {H} tied on {his} {co} for luck.
Off they went. {F} rolled away, faster and faster.
  | One, two, three, and {F} shot ahead.
@
But {F} could not stop! {Fhe} rolled under the cupboard, and there was a crash.
  | Then came the curve, and {F} rolled straight into the wall.
{H} stopped and pulled {fhim} out by the feet.
  | {H} turned around. <he: Are you hurt?>
Together they picked up all {many} beads.
  | They searched the floor until they had found all {many} beads.
=They walked to the window hand in hand and won nothing but the view.
=<F: No more wheels for me.> And they laughed until the clock went one.
!fast is not the same as far
>{F} had raced on beads and crashed

the gift under the pillow; hero=toy; thing=trinket; fate=gives; place=nursery
One night, {H} noticed that {F} did not laugh any more.
  | One night, {F} was so quiet that {H} was worried.
<H: What is wrong?> <F-: I am the only one without anything of my own.>
  | {F} owned nothing at all. Everyone else had at least a bead.
{H} looked at {his} {co}. It was all that {he} had.
  | {H} thought of {his} {o}. {He} loved it very much.
@
<G: A gift is heavy before you give it / and light afterward.> {H} nodded.
  | {He} asked {G} for advice. <ghe: You will know when the time has come.>
When {F} was asleep, {H} pushed the {o} under {fhis} pillow.
  | In the dark {he} hid the {co} under {F}'s pillow.
The next night there was a cry of joy. <F: Is this for me?>
  | <F: Look! / Is this really for me?> {F} danced across the floor with the {o}.
<H: I think it is.> And {he} felt light as a feather.
  | {H} only smiled, but {F} knew. {Fhe} hugged {him} for a long time.
=From then on, the {co} was {F}'s, and {F} lent it to {him} whenever {he} asked.
=That night both of them laughed, and the whole shelf laughed along.
!a gift is heavy before you give it and light afterward
>{H} had hidden the {o} under {F}'s pillow

the lost mitten home; season=winter; place=outdoor wild; thing=pocket toy carry
{day}, {H} lost one of {his} {colour2} mittens in the snow.
  | {day}, when {H} came home, one {colour2} mitten was missing.
<G: Where did you have it last?> {H} did not know.
  | {He} had cold fingers and no idea where it was.
{He} and {F} went back along their footprints. {H} held the {co} with {his} warm hand.
  | {F} helped {him} look, and the {co} came along, too.
@
There it lay, under a bush, and it was moving!
  | Under a bush they saw something {colour2}. It was breathing!
A tiny mouse had moved in and was asleep in the thumb.
  | Out of the thumb looked a tiny mouse.
<F~: Shall we wake it?> <H^: No. / It needs the mitten more than I do.>
  | {H} could have shaken it out. <he~: Let it stay.> {F} nodded.
?They put some crumbs in front of the door of the new house.
So {G} knitted {him} a new one, just as {colour2} as the old one.
  | {GC} heard the story and took out {ghis} {colour2} wool again.
=In spring the mitten was empty, and a flower grew through the thumb.
=All winter long {H} and {F} walked around that bush on tiptoe.
!lost things sometimes find better work
>a mouse had moved into the {colour2} mitten

the scarecrow; place=outdoor; season=spring summer; thing=wear
{day}, the crows had eaten the seeds again, so {H} and {F} built a scarecrow.
  | {day}, {H} and {F} put up a scarecrow, because the crows ate every seed.
It had straw arms, {acolour2} coat and {many} buttons.
  | They gave it {acolour2} coat with {many} buttons.
But the crows were not afraid. They sat down on its arms!
  | The crows laughed at it, as crows do, and ate on.
<F: Something is missing.> {H} took off {his} {co} and put it on the scarecrow.
  | Then {H} lent it the {co}, and suddenly it looked alive.
@
The wind moved the {o}, and the crows flew up and away.
  | A gust came, the {o} fluttered, and off went the crows.
?Every day, {H} said good morning to the scarecrow and looked after the {o}.
In autumn they harvested {many} baskets of pumpkins.
  | When autumn came, {many} baskets were full.
{H} got {his} {o} back, a little faded, and thanked the scarecrow.
  | Then the scarecrow gave the {o} back, and it got a place in the barn for the winter.
=They left the last row for the crows, because even crows get hungry.
=<F: It deserves a medal.> And {fhe} pinned an acorn to the {colour2} coat.
!sharing the harvest makes good neighbours
>a scarecrow had worn the {o} all summer

the big sneeze; hero=animal; place=outdoor wild; thing=pocket toy wear
{day}, {H} woke up with a tickle in {his} nose. <he: Aah! / Aah!> But no sneeze came.
  | {day}, {H} had to sneeze and could not.
{F} tickled {him} with a feather. Nothing happened.
  | <F: Look at the sun!> {H} did, but it did not help.
{GC} brought pepper, but it only made {ghim} sneeze.
  | Then {he} smelled at {many} flowers, one after another, and still nothing came.
@
{He} carried the {co} home, very slowly, with {his} nose in the air.
  | {H} was afraid to move. {He} clutched the {o} and waited.
Then it came. It blew {many} apples off the tree and {F} into a bush!
  | It came like thunder: {many} apples fell, and {F} rolled into a bush.
{H} was [sorry|ashamed], but {F} laughed. <fhe+: Do it again!>
  | <H: Excuse me!> {F} climbed out of the bush, laughing.
They gathered the {many} apples and made a cake of them.
  | From the {many} apples {G} baked a cake.
=That was the easiest harvest of the year.
=Since then, they called {H} the apple wind.
!a small tickle can have a big end
>one sneeze had shaken {many} apples from a tree
"""
