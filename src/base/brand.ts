/** A value of type `T` that only the owner of the brand may make, so that two kinds of number cannot be mixed up. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };
