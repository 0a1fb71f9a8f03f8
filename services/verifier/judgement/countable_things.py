"""Names of things that are counted or measured in ordinary problems, and words around them.

``7 marbles``, ``7 red marbles in the bag`` and ``7 cookies per cup of flour`` are 7. A word that
is not listed here, or in :mod:`services.verifier.judgement.counted_words`, may say anything (``7 lakh``,
``7 excluded``), so it is never left out of an answer.

Invariant: no word here changes the number before it or denies it.
"""

from __future__ import annotations

_THINGS = """
    acorns acres actors adults afternoons age airplanes albums alligators americans amoebas angles
    animals answers antacids ants apartments appetizers apples appliances apps aprons aquariums area
    arenas arms arrangements articles artworks athletes atoms attendees audiobooks avocados awards
    babies badges bagels bags baguettes bales balloons balls bananas bandages bands baps barrels
    bars basketballs baskets batches bathrooms batteries beaches beads beakers beans bears beats
    beavers bedbugs bedrooms beds bees beetles beignets benches berries bicycles bikes billboards
    bills binders bins birdhouses birds biscuits bits blankets blisters blocks blouses blueberries
    boards boats bollards bolts bones bonnets books bookshelves bottles bouquets bowls boxes boys
    bracelets branches bread bricks brochures brothers brownies bubbles buckets bugs builders
    buildings bulbs bunches bundles bunnies buns burgers burritos buses bushels bushes businessmen
    butter butterflies buttons bytes cabinets cages cake cakes calculators calls calories campers
    candidates candies candles candy canoes cans cantaloupes caps capsules cards carnations
    carpenters carpets carriages carrots cars cartons cases cash castles caterpillars cats cds
    ceilings cells centers centimeters cents centuries chairs channels chapters characters chargers
    charts cheerleaders cheese cheesecakes chefs cherries chickens chicks chihuahuas children
    chimichangas chips chocolate chocolates choices chords chores circles circumference citations
    cities clarinets classes classmates classrooms claws clients clothes clouds clovers cloves
    clusters coaches coats cobs coconuts codes coffee coffees coins collections colorings colors
    columns combinations comics committees companies computers concerts conditions cones consonants
    contacts containers contestants cookies coordinates copies corn cost countries coupons courses
    cousins coworkers cows crabs crackers cranberries craters crates crayons creams credits crickets
    croissants crows crunches cubes cubs cucumbers cupcakes cups curlers customers cycles cylinders
    daisies darts daughters days decades decks decorations deer degrees delegates deliveries
    demerits desks desserts devices diagonals diameter diamonds diapers dice digits dimes dips
    discount dishes disks distance divisors doctors dogs dollars dolls dolphins dominoes donations
    donuts doors dots dough doughnuts downloads dragons drawings dress dresses drinks driveways
    drops drums ducklings ducks dumplings dvds earrings ears edges eggplants eggs electrons elements
    elephants emails employees emus enchiladas enemies engines entrees entries envelopes episodes
    equations erasers euros exams eyes fabric faces factors fairies families fans farmers farms
    farthings faucets feathers feet females fences ferns fights figures figurines files filets
    fillets fingers firecrackers firemen fires fireworks fish fishermen fishes flags flavors fleas
    flights flips floors flour flowerbeds flowers flyers folders followers food footprints forks
    forms foxes friends fries frogs fruit fruits functions gadgets gallons games gardens gas gates
    geckos geese gems gemstones geraniums gifts gigabytes gingerbreads giraffes girls gizmos glass
    glasses gloves gnomes goals goats grades grains grams grandchildren grandparents grapes graphs
    grasshoppers groups guards guests guitars gumballs guns guppies haircuts hairs halls hamburgers
    hamsters hands handshakes harbors hats heads hearts hectares height hens hexagons highlighters
    hives holes homes homework honeydews hoodies hops horses hoses hotdogs hours houses hushpuppies
    ice inches income individuals ingredients insects instances instructions integers intersections
    invitations ions islands issues items jackets jars jeans jellybeans jerseys jewels jobs joggers
    jokes judges jugs juice juices kangaroos kernels keys kids kilograms kilometers kilos kilowatts
    kindergartners kinds kings kittens knicks knives knocks ladders ladies ladybugs lambs lamps
    lanes laps laptops lattes lattices laundry lawns leaves legos legs lemonade lemons length
    lengths leopards lessons letters levels licks lights lilies limbs lines lineups lions lists
    liters lives lizards loads loaves lollipops macarons machines magazines maggots magnets
    males mangoes mangos marbles marigolds markers marks marshmallows martians masks mass matches
    matchsticks maths meals meatballs medals megabits megabytes melons members men messages meters
    mice miles milk milkshakes milligrams milliliters minerals minibusses minnows minutes mirrors
    mistakes models molecules moles money monitors monkeys monsters months motorcycles movies
    muffins mugs mushrooms nails napkins necklaces neighborhoods neighbors nephews neutrons
    newspapers nickels nieces nights notebooks notes novels numbers nurses nuts objects octagons
    officers olives omelets onions options oranges orchards orchids orders ounces outcomes outfits
    oxen oysters packages packets packs pages pails paint painters paintings palindromes pallets
    pamphlets pancakes pandas panels pans pants papayas paper paperclips papers parabolas paragraphs
    parakeets parallelograms parents parrots parsnips participants partitions partners parts
    passengers passwords pastries patches paths patients patrons peaches peanuts pears pebbles
    pencils penguins pennies pens pentagons people peppers perimeter periods permutations persons
    pesetas pesos petals pets petunias pfennigs phones photographs photos phrases pickles pictures
    pieces pies pigeons piglets pigs piles pillows pills pineapples pinecones pins pints pipes
    pistachios pitches pixels pizza pizzas planes planets planks plants plates players plums pockets
    pointers points policemen pollywogs polygons polynomials pomegranates pomelos poodles pools
    popsicles portions portraits positions possibilities posters potatoes pots pounds presents
    pretzels price primes prisms prizes problems professors profit properties protons puffs pugs
    pumpkins pumps punches pupils puppies pups purses pushups puzzles pyramids quadrilaterals quarts
    questions quilts quizzes rabbits racers rackets racks racquets radians radishes radius raisins
    ranks raspberries rats rays recipes records recoveries rectangles regions reports
    representatives reps republicans residents restaurants results revenue revolutions rhinestones
    rhinos rhombuses ribbons rice riddles rides ridges rings robins robots rocks rolls roommates
    rooms roosters ropes roses rotations rounds routes rows rungs runners rupees sacks sails salads
    salary sales samples sand sandwiches saplings sapphires sausages savings scarves schools
    scientists scoops screens screws seagulls seashells seasons seatings seats seconds sections
    sectors seedlings seeds segments semesters sentences sequences servings sessions sets settings
    shapes shares sharks sheep sheets shells shelves shingles ships shirts shoes shots
    showers shows siblings sides sightings signatures singers sinks sisters sites situps sizes
    skaters skeins skirts skittles sleeves slices slips slots smartphones snacks snails snakes
    snickers snowballs snowflakes socks sodas soil soldiers solids solutions songs sonnets sons soup
    spaces sparklers spears speed spheres spiders spinners spins spokes spools spoons sports spots
    sprigs squares squirrels stacks stages stairs stalls stamps staplers stars starters statements
    states statues steaks stems steps stickers sticks stitches stones stools stoplights stores
    stories storks strands strawberries straws streetlights streets strings stripes strips students
    stuffies subjects subscribers subsets substitutions suckers sugar suitcases suits sundaes
    sunflowers supplies surfers surveys swallows swans sweaters sweets switches systems tables
    tablespoons tablets tabs tacos tadpoles tails tangerines tanks taps tarantulas targets tasks
    tattoos tax tea teachers teams tears teaspoons teenagers teeth televisions temperature tennis
    tents terms tests tetrahedra textbooks texts thermoses things throws tickets ties tigers tiles
    time tins tires tissues toads toddlers toenails toes toilets tokens tomatoes tonnes tons
    toothbrushes toothpicks toppings touchdowns tourists towels towers towns toys tractors trains
    trapezoids trays treats trees triangles tribes tricycles trips trolls trouts trucks trumpets
    tubes tubs tulips tunas turkeys turns turtles twigs types unicorns units vacations vaccines
    values vampires vans vectors vegetables vehicles venues vertices vibrations videos vines
    visitors visits vlogs volume volumes volunteers voters votes vowels wage waiters walls walnuts
    washers water watermelons watts ways weasels websites weeds weekdays weeks weight wheels
    whiskers whiteboards widgets width windows wings winners wipes wolves women wood woodblocks
    words workdays workers worms wrappers yards years yen yuan zebras zits zombies zucchinis
"""
THINGS = frozenset(_THINGS.split())
"""Plural where there is one."""
_PLURAL_NAMES = """
    roots zeros zeroes multiples moves logs products fractions shorts losses
"""
PLURALS = frozenset(_PLURAL_NAMES.split())
"""Things whose singular (``7 root``) says something else."""
_MODIFIERS = """
    red green blue yellow white black pink purple orange brown gray grey silver gold golden
    small large big little tall short long wide new old young adult male female extra additional
    us american canadian australian non later ago
    more total different distinct possible positive real whole even odd prime perfect ordered equal
    equilateral isosceles congruent similar right regular convex lattice square cubic sq cu linear
    empty full unused used remaining left whole-number stuffed hot sweet baby toy chip ripe
"""
MODIFIERS = frozenset(_MODIFIERS.split())
"""Before the name of a thing; they say nothing alone."""
_LINK_NAMES = """
    of in on at the a an per for to from each every
"""
LINKS = frozenset(_LINK_NAMES.split())
_CLOSING = """
    ordered pairs|ordered triples|unordered pairs
    only|total|in total|in all|altogether|overall|each|exactly|approximately|as required
    is the answer|is the final answer|is our answer|is my answer|is the correct answer|is correct
"""
CLOSING = frozenset(phrase for line in _CLOSING.split("\n") for phrase in line.strip().split("|"))
"""What may stand after a number without a thing."""


_HISSING = ("s", "x", "z", "ch", "sh", "o")


def is_thing(word: str) -> bool:
    """Whether ``word``, in small letters, names a thing, in the singular or the plural."""
    if word in THINGS or word in PLURALS or f"{word}s" in THINGS:
        return True
    if word.endswith("y"):
        return f"{word[:-1]}ies" in THINGS
    return word.endswith(_HISSING) and f"{word}es" in THINGS
