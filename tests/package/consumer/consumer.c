/*
 * The smallest program that uses Vigil: prints the version of the library that it runs with.
 */
#include <stdio.h>
#include <vigil.h>

int main(void)
{
    return puts(vigil_version()) == EOF;
}
