// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AIUSD} from "../src/AIUSD.sol";
import {AIUSDFixture} from "./support/AIUSDFixture.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice A wallet that accepts what one key signs, whoever's account it stands at.
contract Wallet is IERC1271 {
    address private immutable KEY;

    constructor(address key) {
        KEY = key;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        return signer == KEY ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @notice ERC-3009: the nine-argument functions of the standard, and those with a signature as bytes.
contract AIUSDAuthorizationTest is AIUSDFixture {
    string private constant FIELDS =
        "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";

    struct Signed {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    address private _carol;
    uint256 private _carolKey;

    function setUp() external {
        _fixture();
        (_carol, _carolKey) = _account("carol");
    }

    function test_anyoneCanSubmitATransferOnce() external {
        Signed memory by = _sign("TransferWithAuthorization", aliceKey, alice, bob, 5, "a");
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", by.v, by.r, by.s);
        vm.snapshotGasLastCall("AIUSD", "transferWithAuthorization");
        _equal(coin.balanceOf(bob), FUNDS + 5, "bob");
        _true(coin.authorizationState(alice, "a"), "used");
        _expectUsed("a");
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", by.v, by.r, by.s);
        _expectUsed("a");
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", _packed(by));
    }

    function test_aSignatureCanBeBytes() external {
        bytes memory signature = _packed(_sign("TransferWithAuthorization", aliceKey, alice, bob, 5, "a"));
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", signature);
        vm.snapshotGasLastCall("AIUSD", "transferWithAuthorization, bytes");
        _equal(coin.balanceOf(bob), FUNDS + 5, "bob");
        _expectUsed("a");
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", signature);
    }

    function test_noncesAreRandomNotCounted() external {
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 nonce = keccak256(abi.encode(3 - i));
            Signed memory by = _sign("TransferWithAuthorization", aliceKey, alice, bob, 1, nonce);
            coin.transferWithAuthorization(alice, bob, 1, 0, START + 60, nonce, by.v, by.r, by.s);
        }
        _equal(coin.balanceOf(bob), FUNDS + 3, "bob");
    }

    function test_onlyThePayeeReceives() external {
        Signed memory by = _sign("ReceiveWithAuthorization", aliceKey, alice, bob, 5, "a");
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, bob));
        coin.receiveWithAuthorization(alice, bob, 5, 0, START + 60, "a", by.v, by.r, by.s);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, bob));
        coin.receiveWithAuthorization(alice, bob, 5, 0, START + 60, "a", _packed(by));
        vm.prank(bob);
        coin.receiveWithAuthorization(alice, bob, 5, 0, START + 60, "a", _packed(by));
        _equal(coin.balanceOf(bob), FUNDS + 5, "bob");
        by = _sign("ReceiveWithAuthorization", aliceKey, alice, bob, 5, "b");
        vm.prank(bob);
        coin.receiveWithAuthorization(alice, bob, 5, 0, START + 60, "b", by.v, by.r, by.s);
        _equal(coin.balanceOf(bob), FUNDS + 10, "bob");
    }

    function test_aReceiptIsNotATransfer() external {
        Signed memory by = _sign("ReceiveWithAuthorization", aliceKey, alice, bob, 5, "a");
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", by.v, by.r, by.s);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", _packed(by));
    }

    function test_itHoldsWithinItsTime() external {
        Signed memory by = _sign("TransferWithAuthorization", aliceKey, alice, bob, 5, "a");
        vm.warp(START + 60);
        vm.expectRevert(
            abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, 0, START + 60)
        );
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", _packed(by));
        vm.warp(START + 59);
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", _packed(by));
    }

    function test_theSignerCancels() external {
        bytes32 message = keccak256(
            abi.encode(
                keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"), alice, bytes32("a")
            )
        );
        Signed memory cancel = _signed(aliceKey, message);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        coin.cancelAuthorization(bob, "a", _packed(cancel));
        coin.cancelAuthorization(alice, "a", _packed(cancel));
        Signed memory by = _sign("TransferWithAuthorization", aliceKey, alice, bob, 5, "a");
        _expectUsed("a");
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", by.v, by.r, by.s);
        _expectUsed("a");
        coin.cancelAuthorization(alice, "a", cancel.v, cancel.r, cancel.s);
    }

    function test_aContractPaysByERC1271() external {
        Wallet wallet = new Wallet(_carol);
        vm.prank(alice);
        coin.transfer(address(wallet), 10);
        bytes memory signature =
            _packed(_sign("TransferWithAuthorization", _carolKey, address(wallet), bob, 4, "a"));
        coin.transferWithAuthorization(address(wallet), bob, 4, 0, START + 60, "a", signature);
        _equal(coin.balanceOf(bob), FUNDS + 4, "bob");
        signature = _packed(_sign("TransferWithAuthorization", aliceKey, address(wallet), bob, 4, "b"));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        coin.transferWithAuthorization(address(wallet), bob, 4, 0, START + 60, "b", signature);
    }

    function test_anAccountWithDelegatedCodePaysByItsKey() external {
        vm.etch(alice, address(new Wallet(_carol)).code);
        bytes memory signature = _packed(_sign("TransferWithAuthorization", aliceKey, alice, bob, 4, "a"));
        coin.transferWithAuthorization(alice, bob, 4, 0, START + 60, "a", signature);
        _equal(coin.balanceOf(bob), FUNDS + 4, "bob");
    }

    function test_aFrozenPayersAuthorizationWaits() external {
        bytes memory signature = _packed(_sign("TransferWithAuthorization", aliceKey, alice, bob, 5, "a"));
        _freeze(alice, 30);
        vm.expectRevert(
            abi.encodeWithSelector(AIUSD.AccountFrozen.selector, alice, ORDER, uint48(START + 30))
        );
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", signature);
        _true(!coin.authorizationState(alice, "a"), "not used up");
        vm.warp(START + 30);
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", signature);
    }

    function test_plainTransfer() external {
        vm.prank(alice);
        coin.transfer(bob, 5);
        vm.snapshotGasLastCall("AIUSD", "transfer");
    }

    function testFuzz_onlyWhatWasSignedMoves(uint256 value, bytes32 nonce, address to, uint256 window)
        external
    {
        Signed memory by = _sign("TransferWithAuthorization", aliceKey, alice, bob, 5, "a");
        bool same = value == 5 && nonce == "a" && to == bob && window == START + 60;
        if (!same) vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        coin.transferWithAuthorization(alice, to, value, 0, window, nonce, _packed(by));
    }

    function testFuzz_aBrokenSignatureMovesNothing(bytes calldata signature) external {
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", signature);
    }

    function testFuzz_anySignedAmountMovesOnce(uint256 value, bytes32 nonce) external {
        value = _within(value, 0, FUNDS);
        Signed memory by = _sign("TransferWithAuthorization", aliceKey, alice, bob, value, nonce);
        coin.transferWithAuthorization(alice, bob, value, 0, START + 60, nonce, _packed(by));
        _equal(coin.balanceOf(bob), FUNDS + value, "bob");
        _expectUsed(nonce);
        coin.transferWithAuthorization(alice, bob, value, 0, START + 60, nonce, by.v, by.r, by.s);
    }

    /// @dev The other s of a signature is as good to the curve, and refused.
    function test_aMirroredSignatureIsRefused() external {
        Signed memory by = _sign("TransferWithAuthorization", aliceKey, alice, bob, 5, "a");
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        by.s = bytes32(order - uint256(by.s));
        by.v = by.v == 27 ? 28 : 27;
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", _packed(by));
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, by.s));
        coin.transferWithAuthorization(alice, bob, 5, 0, START + 60, "a", by.v, by.r, by.s);
    }

    function _sign(string memory kind, uint256 key, address from, address to, uint256 value, bytes32 nonce)
        private
        view
        returns (Signed memory)
    {
        bytes32 typeHash = keccak256(abi.encodePacked(kind, FIELDS));
        return _signed(key, keccak256(abi.encode(typeHash, from, to, value, 0, START + 60, nonce)));
    }

    function _signed(uint256 key, bytes32 message) private view returns (Signed memory by) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", coin.DOMAIN_SEPARATOR(), message));
        (by.v, by.r, by.s) = vm.sign(key, digest);
    }

    function _packed(Signed memory by) private pure returns (bytes memory) {
        return abi.encodePacked(by.r, by.s, by.v);
    }

    function _expectUsed(bytes32 nonce) private {
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, alice, nonce));
    }
}
