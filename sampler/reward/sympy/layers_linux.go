package sympy

// wantedLayers are those that a user is told of when they do not hold.
var wantedLayers = allLayers
